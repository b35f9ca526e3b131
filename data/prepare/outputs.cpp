#include "data/prepare/outputs.h"

#include <sys/stat.h>

#include <cmath>
#include <map>
#include <system_error>
#include <utility>

#include "core/base/error.h"

namespace drover {
namespace {

constexpr std::size_t kTextBuffer = 1 << 20;

// The one name of a file, as far as its folders are there: two spellings of it are one file.
std::filesystem::path resolved(const std::filesystem::path& file) {
  if (file.empty()) return file;
  std::error_code failure;
  const std::filesystem::path name =
      std::filesystem::weakly_canonical(std::filesystem::absolute(file), failure);
  return failure ? file : name;
}

const PrepareOptions& checked(const PrepareOptions& options) {
  const double fraction = options.holdout_fraction;
  check_holdout_fraction(fraction);
  if (fraction > 0 && options.holdout_out.empty()) {
    throw usage_error("--holdout-fraction ", fraction, " needs --holdout-out, the store of what is held out");
  }
  if (fraction == 0 && !(options.holdout_out.empty() && options.holdout_text.empty())) {
    throw usage_error("--holdout-out and --holdout-text need --holdout-fraction above 0");
  }
  if (options.out.empty()) throw usage_error("--out is missing: the token store to write");
  const std::filesystem::path out = resolved(options.out), holdout_out = resolved(options.holdout_out),
                              holdout_text = resolved(options.holdout_text);
  if (out == holdout_out || out == holdout_text || (!holdout_out.empty() && holdout_out == holdout_text)) {
    throw usage_error("--out, --holdout-out and --holdout-text must be different files");
  }
  if (options.threads < 1) throw usage_error("--threads ", options.threads, ": must be at least 1");
  return options;
}

WriteStore store_options(const Tokenizer& tokenizer, const PrepareOptions& options, StorePart part) {
  WriteStore store{.path = part == StorePart::holdout ? options.holdout_out : options.out,
                   .existing = options.existing,
                   .vocab_size = tokenizer.vocab_size(),
                   .tokenizer_digest = tokenizer.digest(),
                   .part = part,
                   .holdout_fraction = options.holdout_fraction};
  const bool copied_ids = options.documents.form == DocumentForm::megatron;
  if (options.bos == Affix::automatic && !copied_ids) store.bos = tokenizer.bos();
  if (options.eos == Affix::automatic && !copied_ids) store.eos = tokenizer.eos();
  return store;
}

// What is to be written, by the disk that it goes to.
class Disks {
 public:
  void add(const std::filesystem::path& file, std::int64_t bytes) {
    struct stat status {};
    if (::stat(folder_of(file).c_str(), &status) != 0) return;  // whoever writes there says so
    Disk& disk = disks_.try_emplace(status.st_dev, Disk{.file = file}).first->second;
    disk.bytes += bytes;
  }

  void check(std::int64_t read, std::int64_t total) const {
    for (const auto& [device, disk] : disks_) {
      const std::optional<std::int64_t> available = available_bytes(folder_of(disk.file));
      if (!available) continue;
      const auto problem =
          space_problem({.output = disk.bytes, .read = read, .total = total, .available = *available});
      if (problem) throw input_error(disk.file.string(), ": ", *problem);
    }
  }

 private:
  struct Disk {
    std::filesystem::path file;  // the first
    std::int64_t bytes = 0;      // of all
  };
  std::map<dev_t, Disk> disks_;
};

void count(PartSummary& part, std::int64_t tokens, std::int64_t text_bytes) {
  part.documents += 1;
  part.tokens += tokens;
  part.text_bytes += text_bytes;
}

}  // namespace

void check_holdout_fraction(double fraction) {
  if (!(fraction >= 0 && fraction < 1))
    throw usage_error("--holdout-fraction ", fraction, ": must be in [0, 1)");
}

TextWriter::TextWriter(FileSystem& files, std::filesystem::path path, Existing existing)
    : files_(files), path_(std::move(path)), partial_(path_) {
  partial_ += ".partial";
  refuse_existing(files_, path_, existing);
  refuse_unfinished(files_, partial_);
  file_ = files_.open(partial_, OpenMode::create);
}

TextWriter::~TextWriter() {
  if (!file_) return;
  file_.reset();
  try {
    files_.remove_file(partial_);
  } catch (const Error&) {  // another error is already on its way
  }
}

void TextWriter::add(std::string_view text) {
  buffer_ += text;
  if (buffer_.size() >= kTextBuffer) flush();
}

void TextWriter::flush() {
  file_->write(std::as_bytes(std::span(buffer_)), written_);
  written_ += static_cast<std::int64_t>(buffer_.size());
  buffer_.clear();
}

void TextWriter::finish() {
  flush();
  file_->sync();
}

void TextWriter::publish() {
  files_.rename(partial_, path_);
  file_.reset();
  files_.sync_directory(folder_of(path_));
}

PrepareOutputs::PrepareOutputs(FileSystem& files, const Tokenizer& tokenizer, const PrepareOptions& options)
    : options_(options),
      token_bytes_(size_of(token_type_for(tokenizer.vocab_size()))),
      train_(files, store_options(tokenizer, checked(options),
                                  options.holdout_fraction > 0 ? StorePart::train : StorePart::all)) {
  if (options.holdout_fraction == 0) return;
  holdout_.emplace(files, store_options(tokenizer, options, StorePart::holdout));
  if (!options.holdout_text.empty()) holdout_text_.emplace(files, options.holdout_text, options.existing);
}

void PrepareOutputs::add(const DocumentBatch& batch) {
  const std::span<const std::int32_t> ids(batch.ids);
  std::int64_t begin = 0;
  for (const EncodedDocument& document : batch.documents) {
    const std::int64_t tokens = document.ids_end - begin;
    StoreWriter& store = document.held_out ? *holdout_ : train_;
    store.add(ids.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(tokens)),
              document.text_bytes);
    count(document.held_out ? holdout_summary_ : train_summary_, tokens, document.text_bytes);
    begin = document.ids_end;
  }
  if (holdout_text_) holdout_text_->add(batch.holdout_text);
}

// All that may fail for want of space comes before the first name appears; the training store comes last.
void PrepareOutputs::publish() {
  train_.finish();
  if (holdout_) holdout_->finish();
  if (holdout_text_) holdout_text_->finish();
  if (holdout_text_) holdout_text_->publish();
  if (holdout_) holdout_->publish();
  train_.publish();
}

std::int64_t PrepareOutputs::documents() const {
  return train_summary_.documents + holdout_summary_.documents;
}
std::int64_t PrepareOutputs::tokens() const { return train_summary_.tokens + holdout_summary_.tokens; }

// Within a few kilobytes.
void PrepareOutputs::check_space(std::span<const DocumentBatch> batches, std::int64_t read,
                                 std::int64_t total) const {
  constexpr std::int64_t kNumbersOfDocument = 2 * sizeof(std::int64_t);
  std::int64_t train = 0, holdout = 0, text = 0;  // bytes
  for (const DocumentBatch& batch : batches) {
    std::int64_t begin = 0;
    for (const EncodedDocument& document : batch.documents) {
      (document.held_out ? holdout : train) += (document.ids_end - begin) * token_bytes_ + kNumbersOfDocument;
      begin = document.ids_end;
    }
    text += std::ssize(batch.holdout_text);
  }
  Disks disks;
  disks.add(options_.out, train);
  if (holdout_) disks.add(options_.holdout_out, holdout);
  if (holdout_text_) disks.add(options_.holdout_text, text);
  disks.check(read, total);
}

std::optional<std::string> space_problem(const SpaceEstimate& estimate) {
  double needed = static_cast<double>(estimate.output);
  if (estimate.read > 0 && estimate.total > estimate.read)
    needed *= static_cast<double>(estimate.total) / static_cast<double>(estimate.read);
  if (needed <= static_cast<double>(estimate.available)) return std::nullopt;
  const auto megabytes = [](double bytes) { return std::ceil(bytes / 1e5) / 10; };
  return cat("about ", megabytes(needed), " MB are needed, and ",
             std::floor(static_cast<double>(estimate.available) / 1e5) / 10,
             " MB are free; free space there, or write to another disk");
}

}  // namespace drover
