// The files that `prepare` writes: all of them appear under their names at the end, or none. Internal to
// prepare.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "data/prepare/batch.h"
#include "data/prepare/prepare.h"

namespace drover {

void check_holdout_fraction(double fraction);  // Error{usage} unless in [0, 1)

// Text that grows by appending; the name appears with publish(). Destroyed before, it leaves nothing.
class TextWriter {
 public:
  TextWriter(FileSystem& files, std::filesystem::path path, Existing existing);
  ~TextWriter();
  TextWriter(const TextWriter&) = delete;
  TextWriter& operator=(const TextWriter&) = delete;

  void add(std::string_view text);
  void finish();
  void publish();

 private:
  void flush();

  FileSystem& files_;
  std::filesystem::path path_, partial_;
  std::unique_ptr<File> file_;
  std::string buffer_;
  std::int64_t written_ = 0;
};

class PrepareOutputs {
 public:
  // The options outlive this. Error{usage}: options that contradict each other.
  PrepareOutputs(FileSystem& files, const Tokenizer& tokenizer, const PrepareOptions& options);

  void add(const DocumentBatch& batch);
  void publish();

  std::int64_t documents() const;
  std::int64_t tokens() const;
  // Error{input} if a disk that is written to has less room than the input takes, of which `batches` are the first
  // `read` of `total` bytes (0: not known).
  void check_space(std::span<const DocumentBatch> batches, std::int64_t read, std::int64_t total) const;
  PartSummary train() const { return train_summary_; }
  PartSummary holdout() const { return holdout_summary_; }

 private:
  const PrepareOptions& options_;
  std::int64_t token_bytes_;  // of one in a store
  StoreWriter train_;
  std::optional<StoreWriter> holdout_;
  std::optional<TextWriter> holdout_text_;
  PartSummary train_summary_, holdout_summary_;
};

struct SpaceEstimate {
  std::int64_t output = 0;           // bytes that the input read so far gives on this disk
  std::int64_t read = 0, total = 0;  // bytes of input; total 0: not known
  std::int64_t available = 0;        // bytes on it
};
// What is wrong, in words, if the output of all the input will not fit at the rate seen so far.
std::optional<std::string> space_problem(const SpaceEstimate& estimate);

}  // namespace drover
