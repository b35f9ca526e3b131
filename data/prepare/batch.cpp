#include "data/prepare/batch.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "core/base/digest.h"
#include "core/base/error.h"
#include "data/tokenizer/split.h"

namespace drover {

bool is_held_out(std::string_view text, double fraction) {
  return static_cast<double>(digest_of(text).high) < std::ldexp(fraction, 64);
}

TextFindings& TextFindings::operator+=(const TextFindings& other) {
  empty += other.empty;
  bad += other.bad;
  invalid_utf8 += other.invalid_utf8;
  replacements += other.replacements;
  with_nul += other.with_nul;
  with_crlf += other.with_crlf;
  special_names += other.special_names;
  longest_tokens = std::max(longest_tokens, other.longest_tokens);
  return *this;
}

BatchEncoder::BatchEncoder(const Tokenizer& tokenizer, const PrepareOptions& options,
                           const DocumentReader& reader)
    : tokenizer_(tokenizer), options_(options), reader_(reader), encoder_(tokenizer) {
  if (options.bos == Affix::automatic) bos_ = tokenizer.bos();
  if (options.eos == Affix::automatic) eos_ = tokenizer.eos();
}

// Caught here, so that of several errors the first in the order of documents is reported, not the first in
// time.
void BatchEncoder::encode(DocumentBatch& batch) {
  try {
    for (RawDocument& raw : batch.raw) encode_document(raw, batch);
  } catch (...) {
    batch.error = std::current_exception();
  }
  batch.raw.clear();
}

void BatchEncoder::encode_document(RawDocument& raw, DocumentBatch& batch) {
  const auto begin = static_cast<std::int64_t>(batch.ids.size());
  std::optional<std::string> problem;
  if (raw.form == DocumentForm::megatron) {
    problem = append_stored_ids(raw, batch);
  } else {
    problem = take_text(raw, options_.documents.text_key, text_);
    if (!problem) problem = append_text_ids(raw, batch);
  }
  if (!problem) return add_document(begin, batch);
  if (options_.documents.bad == BadInput::refuse) {
    throw input_error(reader_.place(raw), ": ", *problem,
                      "; repair it, or leave such documents out with --skip-bad");
  }
  batch.ids.resize(static_cast<std::size_t>(begin));
  ++batch.findings.bad;
}

std::optional<std::string> BatchEncoder::append_text_ids(const RawDocument& raw, DocumentBatch& batch) {
  if (text_.empty()) return std::nullopt;
  if (bos_) batch.ids.push_back(*bos_);
  std::int64_t replaced = 0;
  try {
    replaced = encoder_.encode_ordinary(text_, batch.ids);
  } catch (const SplitTooSlow& error) {  // what is passed over must not depend on the time that it takes
    throw input_error(reader_.place(raw), ": ", error.what());
  } catch (const Error& error) {
    if (error.exit() != Exit::input) throw;
    return error.what();
  }
  if (eos_) batch.ids.push_back(*eos_);
  batch.findings.replacements += replaced;
  batch.findings.invalid_utf8 += replaced > 0;
  batch.findings.with_nul += text_.find('\0') != std::string_view::npos;
  batch.findings.with_crlf += text_.find("\r\n") != std::string_view::npos;
  batch.findings.special_names += tokenizer_.count_special_names(text_);
  return std::nullopt;
}

std::optional<std::string> BatchEncoder::append_stored_ids(const RawDocument& raw, DocumentBatch& batch) {
  text_.clear();
  for (std::size_t at = 0; at < raw.bytes.size(); at += sizeof(std::int32_t)) {
    std::int32_t id = 0;
    std::memcpy(&id, raw.bytes.data() + at, sizeof id);
    if (id >= tokenizer_.vocab_size()) {
      return cat("holds id ", id, ", the tokenizer has ", tokenizer_.vocab_size(),
                 ": another one made these ids");
    }
    batch.ids.push_back(id);
    if (!tokenizer_.is_special(id)) text_ += tokenizer_.token_bytes(id);
  }
  if (tokenizer_.puts_space_before() && text_.starts_with(' ')) text_.erase(0, 1);
  return std::nullopt;
}

void BatchEncoder::add_document(std::int64_t ids_begin, DocumentBatch& batch) {
  const auto ids_end = static_cast<std::int64_t>(batch.ids.size());
  if (ids_end == ids_begin) {
    ++batch.findings.empty;
    return;
  }
  const bool held_out = is_held_out(text_, options_.holdout_fraction);
  if (held_out) batch.holdout_text += text_;
  batch.documents.push_back({ids_end, static_cast<std::int64_t>(text_.size()), held_out});
  batch.findings.longest_tokens = std::max(batch.findings.longest_tokens, ids_end - ids_begin);
}

}  // namespace drover
