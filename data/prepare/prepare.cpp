#include "data/prepare/prepare.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <future>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/base/thread_pool.h"
#include "data/prepare/batch.h"
#include "data/prepare/outputs.h"

namespace drover {
namespace {

using Clock = std::chrono::steady_clock;

// A batch is large enough to be worth handing to a thread, a wave large enough to keep all of them busy while
// the next one is read.
constexpr std::int64_t kBatchBytes = 256 << 10;
constexpr std::size_t kBatchDocuments = 1024;
constexpr int kBatchesPerThread = 16;

struct Wave {
  std::vector<DocumentBatch> batches;
  std::int64_t bytes_read = 0;  // of the input, up to the end of the wave
};

DocumentBatch read_batch(DocumentReader& reader) {
  DocumentBatch batch;
  std::int64_t bytes = 0;
  RawDocument raw;
  while (bytes < kBatchBytes && batch.raw.size() < kBatchDocuments && reader.next(raw)) {
    bytes += static_cast<std::int64_t>(raw.bytes.size());
    batch.raw.push_back(std::exchange(raw, {}));
  }
  return batch;
}

std::int64_t raw_bytes(const DocumentBatch& batch) {
  std::int64_t bytes = 0;
  for (const RawDocument& raw : batch.raw) bytes += static_cast<std::int64_t>(raw.bytes.size());
  return bytes;
}

// Empty at the end of the input. Bounded in bytes, too: a wave of huge documents is a short one.
Wave read_wave(DocumentReader& reader, int threads) {
  Wave wave;
  std::int64_t room = threads * kBatchesPerThread * kBatchBytes;
  const auto most = static_cast<std::size_t>(threads * kBatchesPerThread);
  while (room > 0 && wave.batches.size() < most) {
    DocumentBatch batch = read_batch(reader);
    if (batch.raw.empty()) break;
    room -= raw_bytes(batch);
    wave.batches.push_back(std::move(batch));
  }
  wave.bytes_read = reader.bytes_read();
  return wave;
}

// The waves of the input, each read while the one before it is encoded. Destroyed before the end it gives the
// reading up, however quiet the input is.
class WaveReader {
 public:
  WaveReader(const ReadDocuments& documents, int threads)
      : reader_(stoppable(documents)), threads_(threads) {}
  ~WaveReader() { given_up_ = true; }  // and next_ waits for its thread
  WaveReader(const WaveReader&) = delete;
  WaveReader& operator=(const WaveReader&) = delete;

  const DocumentReader& documents() const { return reader_; }

  Wave next() {
    Wave wave = next_.valid() ? next_.get() : read_wave(reader_, threads_);
    if (!wave.batches.empty()) next_ = std::async(std::launch::async, read_wave, std::ref(reader_), threads_);
    return wave;
  }

 private:
  ReadDocuments stoppable(ReadDocuments documents) const {
    documents.check_stop = [this, asked = documents.check_stop] {
      if (given_up_) throw Error(Exit::internal, "the input is given up");
      if (asked) asked();
    };
    return documents;
  }

  std::atomic<bool> given_up_ = false;
  DocumentReader reader_;
  int threads_;
  std::future<Wave> next_;
};

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Calls back about twice a second.
class ProgressReporter {
 public:
  ProgressReporter(const ReadProgressCallback& callback, std::int64_t bytes_total)
      : callback_(callback), bytes_total_(bytes_total) {}

  double seconds() const { return seconds_since(start_); }

  // Calls back in any case.
  void finish(const ReadProgress& progress) {
    next_ = 0;
    report(progress);
  }

  void report(ReadProgress progress) {
    constexpr double kInterval = 0.5;
    progress.seconds = seconds();
    if (!callback_ || progress.seconds < next_) return;
    next_ = progress.seconds + kInterval;
    progress.bytes_total = bytes_total_;
    if (bytes_total_ > 0 && progress.bytes_read > 0) {
      const auto left = static_cast<double>(std::max<std::int64_t>(0, bytes_total_ - progress.bytes_read));
      progress.seconds_left = progress.seconds * left / static_cast<double>(progress.bytes_read);
    }
    callback_(progress);
  }

 private:
  const ReadProgressCallback& callback_;
  std::int64_t bytes_total_;
  Clock::time_point start_ = Clock::now();
  double next_ = 0;
};

PrepareSummary summary_of_input(const DocumentReader& reader) {
  const InputList& inputs = reader.inputs();
  return {.files = static_cast<std::int64_t>(inputs.files.size()),
          .hidden = inputs.hidden,
          .links = inputs.links,
          .special_files = inputs.special,
          .byte_order_marks = reader.byte_order_marks(),
          .too_long = reader.too_long(),
          .input_bytes = reader.bytes_read()};
}

class Preparation {
 public:
  Preparation(FileSystem& files, const Tokenizer& tokenizer, const PrepareOptions& options)
      : waves_(options.documents, options.threads),
        outputs_(files, tokenizer, options),
        progress_(options.progress, waves_.documents().bytes_total()),
        pool_(options.threads) {
    for (int i = 0; i < options.threads; ++i) encoders_.emplace_back(tokenizer, options, waves_.documents());
  }

  PrepareSummary run() {
    for (Wave wave = waves_.next(); !wave.batches.empty(); wave = waves_.next()) {
      encode(wave);
      // Before the first byte is written: the first wave is enough to know how many a byte of input becomes.
      if (outputs_.documents() == 0)
        outputs_.check_space(wave.batches, wave.bytes_read, waves_.documents().bytes_total());
      write(wave);
    }
    progress_.finish(progress());
    outputs_.publish();
    return summary();
  }

 private:
  void encode(Wave& wave) {
    pool_.run(static_cast<std::int64_t>(wave.batches.size()), [&](std::int64_t batch, int worker) {
      encoders_[static_cast<std::size_t>(worker)].encode(wave.batches[static_cast<std::size_t>(batch)]);
    });
  }

  void write(const Wave& wave) {
    for (const DocumentBatch& batch : wave.batches) {
      if (batch.error) std::rethrow_exception(batch.error);
      outputs_.add(batch);
      findings_ += batch.findings;
    }
    bytes_read_ = wave.bytes_read;
    progress_.report(progress());
  }

  ReadProgress progress() const {
    return {.bytes_read = bytes_read_, .documents = outputs_.documents(), .tokens = outputs_.tokens()};
  }

  PrepareSummary summary() const {
    PrepareSummary summary = summary_of_input(waves_.documents());
    summary.train = outputs_.train();
    summary.holdout = outputs_.holdout();
    summary.findings = findings_;
    summary.seconds = progress_.seconds();
    return summary;
  }

  WaveReader waves_;
  PrepareOutputs outputs_;
  ProgressReporter progress_;
  ThreadPool pool_;
  std::vector<BatchEncoder> encoders_;
  TextFindings findings_;
  std::int64_t bytes_read_ = 0;  // of what has been written
};

// The texts that a tokenizer learns from, one after another.
class TrainingTexts {
 public:
  explicit TrainingTexts(const TrainTokenizer& options)
      : options_(options), reader_(options.documents), progress_(options.progress, reader_.bytes_total()) {}

  bool next(std::string& text) {
    while (reader_.next(raw_)) {
      if (!take(text)) continue;
      const bool left_out = is_held_out(text, options_.holdout_fraction);
      PartSummary& part = left_out ? left_out_ : read_;
      ++part.documents;
      part.text_bytes += static_cast<std::int64_t>(text.size());
      progress_.report({.bytes_read = reader_.bytes_read(), .documents = read_.documents});
      if (!left_out) return true;
    }
    return false;
  }

  const PartSummary& read() const { return read_; }
  const PartSummary& left_out() const { return left_out_; }

 private:
  bool take(std::string& text) {
    const std::optional<std::string> problem = take_text(raw_, options_.documents.text_key, text);
    if (problem && options_.documents.bad == BadInput::refuse) {
      throw input_error(reader_.place(raw_), ": ", *problem,
                        "; repair it, or leave such documents out with --skip-bad");
    }
    return !problem;
  }

  const TrainTokenizer& options_;
  DocumentReader reader_;
  ProgressReporter progress_;
  RawDocument raw_;
  PartSummary read_, left_out_;
};

// Before hours of reading rather than after them.
void check_output(FileSystem& files, const TrainTokenizer& options) {
  refuse_existing(files, options.out, options.existing);
  const std::filesystem::path folder = options.out.parent_path();
  if (!folder.empty() && !files.exists(folder)) {
    throw input_error(options.out.string(), ": there is no folder ", folder.string(), "; make it first");
  }
}

}  // namespace

PrepareSummary prepare(FileSystem& files, const Tokenizer& tokenizer, const PrepareOptions& options) {
  return Preparation(files, tokenizer, options).run();
}

TrainedTokenizer train_tokenizer(FileSystem& files, const TrainTokenizer& options) {
  if (options.documents.form == DocumentForm::megatron) {
    throw usage_error("--format megatron: a tokenizer is trained on text, not on token ids");
  }
  check_holdout_fraction(options.holdout_fraction);
  check_output(files, options);
  TrainingTexts texts(options);
  Tokenizer tokenizer = train_bpe(options.bpe, [&](std::string& text) { return texts.next(text); });
  write_text_atomically(files, options.out, tokenizer.to_json());
  return {std::move(tokenizer), texts.read(), texts.left_out()};
}

}  // namespace drover
