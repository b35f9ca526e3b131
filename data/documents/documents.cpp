#include "data/documents/documents.h"

#include <algorithm>
#include <utility>

#include "core/base/error.h"
#include "data/documents/json.h"
#include "data/documents/megatron.h"
#include "data/documents/stream.h"

namespace drover {
namespace {

constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

bool is_blank(std::string_view line) { return line.find_first_not_of(" \t\r") == std::string_view::npos; }

std::string file_name(const InputFile& file) { return file.path == "-" ? "standard input" : file.path; }

}  // namespace

// The open input: a stream and what cuts it, or a Megatron index.
struct DocumentReader::Input {
  std::size_t index = 0;
  std::int64_t number = 0;  // documents, lines or values so far
  std::unique_ptr<ByteStream> stream;
  std::optional<JsonValues> values;
  std::optional<MegatronReader> megatron;

  std::int64_t consumed() const {
    if (megatron) return megatron->consumed();
    return stream ? stream->consumed() : 0;
  }

  Cut cut(DocumentForm form, std::int64_t bound, std::string& bytes) {
    switch (form) {
      case DocumentForm::text:
        return number > 0 ? Cut::end : next_text(*stream, bound, bytes);
      case DocumentForm::jsonl:
        return next_line(*stream, bound, bytes);
      case DocumentForm::json:
        return values->next(bound, bytes);
      case DocumentForm::megatron:
        return megatron->next(bound, bytes);
      case DocumentForm::by_name:
        break;
    }
    DROVER_CHECK(false, "an input's form is known when it is opened");
  }
};

DocumentReader::DocumentReader(ReadDocuments options)
    : options_(std::move(options)), inputs_(list_inputs(options_)) {
  if (options_.max_document_bytes < 1)
    throw usage_error("--max-document ", options_.max_document_bytes, ": must be at least 1 byte");
}
DocumentReader::~DocumentReader() = default;

void DocumentReader::open_input() {
  input_ = std::make_unique<Input>();
  input_->index = next_input_++;
  const InputFile& file = inputs_.files[input_->index];
  if (file.form == DocumentForm::megatron) {
    input_->megatron.emplace(file.path);
    return;
  }
  input_->stream = open_stream(file.path, options_.check_stop);
  if (input_->stream->window().starts_with(kByteOrderMark)) {
    input_->stream->skip(kByteOrderMark.size());
    ++byte_order_marks_;
  }
  if (file.form == DocumentForm::json) input_->values.emplace(*input_->stream, file_name(file));
}

bool DocumentReader::next(RawDocument& out) {
  for (;;) {
    if (!input_) {
      if (next_input_ == inputs_.files.size()) return false;
      open_input();
    }
    if (read_from(*input_, out)) return true;
    const std::int64_t bytes = inputs_.files[input_->index].bytes;
    bytes_of_closed_ += bytes > 0 ? bytes : input_->consumed();
    input_.reset();
  }
}

// False at the end of the input.
bool DocumentReader::read_from(Input& input, RawDocument& out) {
  out.form = inputs_.files[input.index].form;
  out.input = input.index;
  for (;;) {
    const Cut cut = input.cut(out.form, options_.max_document_bytes, out.bytes);
    if (cut == Cut::end) return false;
    out.number = ++input.number;
    const bool blank = out.form == DocumentForm::jsonl && is_blank(out.bytes);
    if (accept_length(cut == Cut::too_long, out) && !blank) return true;
  }
}

bool DocumentReader::accept_length(bool too_long, const RawDocument& document) {
  if (!too_long) return true;
  if (options_.bad == BadInput::refuse) {
    throw input_error(place(document), ": longer than ", options_.max_document_bytes,
                      " bytes; split it, raise --max-document, or leave such documents out with --skip-bad");
  }
  ++too_long_;
  return false;
}

std::int64_t DocumentReader::bytes_read() const {
  return bytes_of_closed_ + (input_ ? input_->consumed() : 0);
}

std::int64_t DocumentReader::bytes_total() const {
  if (!inputs_.sized) return 0;
  std::int64_t total = 0;
  for (const InputFile& file : inputs_.files) total += file.bytes;
  return total;
}

std::string DocumentReader::place(const RawDocument& document) const {
  const std::string file = file_name(inputs_.files[document.input]);
  switch (document.form) {
    case DocumentForm::jsonl:
      return cat(file, ":", document.number);
    case DocumentForm::json:
      return cat(file, ", value ", document.number);
    case DocumentForm::megatron:
      return cat(file, ", document ", document.number);
    default:
      return file;
  }
}

std::optional<std::string> take_text(RawDocument& document, std::string_view text_key, std::string& text) {
  switch (document.form) {
    case DocumentForm::text:
      std::swap(text, document.bytes);
      return std::nullopt;
    case DocumentForm::jsonl:
    case DocumentForm::json:
      return text_of_json(document.bytes, text_key, text);
    default:
      break;
  }
  DROVER_CHECK(false, "a document of token ids has no text of its own");
}

}  // namespace drover
