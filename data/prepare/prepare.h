// From documents to tokens: trains a tokenizer, and prepares token stores. What `drover data
// train-tokenizer` and `drover data prepare` call.
//
// The stores' bytes depend on the documents, their order, the tokenizer and the options, never on the number
// of threads. Memory is bounded: about 10 MiB a thread, and a few times the largest document.
//
// Rules (docs/token_store.md says them to users):
//   - a document becomes [BOS] ids of its text [EOS]; a text never makes a special id;
//   - invalid UTF-8 becomes U+FFFD as it is encoded, and is counted; text bytes are those before that;
//   - a document without text is dropped and counted;
//   - a document is held out if the hash of its text falls below the fraction, so equal documents are
//     never on both sides, whatever else is read with them and in whatever order;
//   - Megatron's ids are copied, nothing is put around them, and their text is what they decode to.
//
// Errors: Error{input} names file and line; nothing is left behind, neither then nor when a progress callback
// or documents.check_stop throws, whether the input is a file or a pipe that has gone quiet. Thread rules: one thread
// calls; it, threads - 1 others and one that reads ahead do the work.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "core/files/filesystem.h"
#include "data/documents/documents.h"
#include "data/store/writer.h"
#include "data/tokenizer/bpe_train.h"
#include "data/tokenizer/tokenizer.h"

namespace drover {

struct ReadProgress {
  std::int64_t bytes_read = 0, bytes_total = 0;  // of the inputs as they stand on disk; total 0: not known
  std::int64_t documents = 0, tokens = 0;        // tokens 0 while a tokenizer is trained
  double seconds = 0;
  std::optional<double> seconds_left;
};
// About twice a second, and by prepare once more before the outputs get their names; may be empty, and may throw.
using ReadProgressCallback = std::function<void(const ReadProgress&)>;

enum class Affix : std::uint8_t { automatic, none };  // automatic: as the tokenizer defines

struct PrepareOptions {
  ReadDocuments documents;
  std::filesystem::path out;
  Existing existing = Existing::refuse;  // for all files that are written
  Affix bos = Affix::automatic, eos = Affix::automatic;
  double holdout_fraction = 0.0;  // of documents, in [0, 1)
  std::filesystem::path
      holdout_out;  // token store of the held-out documents; needed if the fraction is above 0
  std::filesystem::path holdout_text;  // may be empty; exactly their texts, one after another
  int threads = 1;
  ReadProgressCallback progress;
};

// What was met in the texts.
struct TextFindings {
  std::int64_t empty = 0;                    // dropped
  std::int64_t bad = 0;                      // passed over (BadInput::skip)
  std::int64_t invalid_utf8 = 0;             // documents with any
  std::int64_t replacements = 0;             // U+FFFD put in
  std::int64_t with_nul = 0, with_crlf = 0;  // documents; kept as they are
  std::int64_t special_names = 0;            // occurrences, encoded as text
  std::int64_t longest_tokens = 0;           // of one document

  TextFindings& operator+=(const TextFindings& other);
};

struct PartSummary {
  std::int64_t documents = 0, tokens = 0, text_bytes = 0;
};

struct PrepareSummary {
  PartSummary train, holdout;  // train: everything, if nothing is held out
  TextFindings findings;
  std::int64_t files = 0;
  std::int64_t hidden = 0, links = 0, special_files = 0;  // passed over in folders
  std::int64_t byte_order_marks = 0;                      // dropped
  std::int64_t too_long = 0;                              // passed over (BadInput::skip)
  std::int64_t input_bytes = 0;                           // as on disk
  double seconds = 0;
};
// Lines for a terminal; what didn't occur isn't mentioned.
std::string describe(const PrepareSummary& summary);

PrepareSummary prepare(FileSystem& files, const Tokenizer& tokenizer, const PrepareOptions& options);

struct TrainTokenizer {
  ReadDocuments documents;  // any form but megatron
  TrainBpe bpe;
  std::filesystem::path out;  // tokenizer.json
  Existing existing = Existing::refuse;
  double holdout_fraction = 0.0;  // leave out what prepare holds out at this fraction
  ReadProgressCallback progress;  // called from the counting threads, one at a time
};

struct TrainedTokenizer {
  Tokenizer tokenizer;
  PartSummary read, left_out;  // tokens are 0
};
TrainedTokenizer train_tokenizer(FileSystem& files, const TrainTokenizer& options);

// The high half of the text's XXH3-128, as a fraction of 2^64, is below `fraction`.
bool is_held_out(std::string_view text, double fraction);

}  // namespace drover
