#include "data/tokenizer/bpe_train.h"

#include <algorithm>
#include <array>
#include <exception>
#include <mutex>
#include <unordered_map>

#include "core/base/error.h"
#include "core/base/thread_pool.h"
#include "data/tokenizer/bpe_table.h"
#include "data/tokenizer/spec.h"
#include "data/tokenizer/split.h"
#include "data/unicode/unicode.h"

namespace drover {
namespace {

constexpr std::size_t kMaxPiece = 1 << 16;

struct StringHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
};
using Counts = std::unordered_map<std::string, std::int64_t, StringHash, std::equal_to<>>;

// Documents are dealt out one at a time; each thread counts its own, and sums don't depend on who counted
// what.
class PieceCounter {
 public:
  PieceCounter(const TrainBpe& options, FunctionRef<bool(std::string&)> next)
      : pattern_({.pattern = options.pattern}, "train_bpe"),
        next_(next),
        counts_(std::size_t(options.threads)) {}

  Counts run() {
    const auto threads = static_cast<int>(counts_.size());
    ThreadPool(threads).run(threads, [this](std::int64_t i, int) { count(counts_[std::size_t(i)]); });
    if (failure_) std::rethrow_exception(failure_);
    for (std::size_t i = 1; i < counts_.size(); ++i) {
      for (const auto& [piece, count] : counts_[i]) counts_[0][piece] += count;
    }
    return std::move(counts_[0]);
  }

 private:
  // A failure is noted before the lock is given up: nobody asks a source that has thrown for more.
  bool take(std::string& document) {
    const std::lock_guard lock(mutex_);
    try {
      return !failure_ && next_(document);
    } catch (...) {
      failure_ = std::current_exception();
      return false;
    }
  }

  void count(Counts& counts) {
    try {
      Splitter splitter(pattern_);
      std::string document, repaired;
      while (take(document)) {
        replace_invalid_utf8(document, repaired);
        count_pieces(repaired, splitter, counts);
      }
    } catch (...) {
      const std::lock_guard lock(mutex_);
      if (!failure_) failure_ = std::current_exception();
    }
  }

  static void count_pieces(std::string_view text, Splitter& splitter, Counts& counts) {
    std::vector<std::string_view> pieces;
    splitter.start(text);
    for (splitter.next(pieces); !pieces.empty(); splitter.next(pieces)) {
      for (const std::string_view piece : pieces) {
        if (piece.size() > kMaxPiece) continue;
        const auto found = counts.find(piece);
        found != counts.end() ? void(++found->second) : void(counts.emplace(piece, 1));
      }
    }
  }

  SplitPattern pattern_;
  FunctionRef<bool(std::string&)> next_;
  std::vector<Counts> counts_;
  std::mutex mutex_;
  std::exception_ptr failure_;  // guarded by mutex_ until the threads have joined
};

// A distinct piece as shrinking consecutive ids in one big array.
struct Word {
  std::int64_t begin;
  std::int32_t size;
  std::int64_t count;
};

// A pair waiting to be merged in some words. Its count may be out of date; it is put right when it comes to
// the top.
struct Candidate {
  std::int64_t count;
  std::int32_t left, right;
  std::vector<std::int32_t> words;

  bool operator<(const Candidate& other) const {
    if (count != other.count) return count < other.count;
    return left != other.left ? left > other.left : right > other.right;
  }
};

// Every step is a function of sums over words, so neither the order of words nor that of hash tables shows.
class Trainer {
 public:
  Trainer(const TrainBpe& options, const Counts& pieces)
      : target_(std::size_t(options.vocab_size) - options.specials.size()) {
    for (const std::uint8_t byte : bytes_in_alphabet_order()) {
      byte_ids_[byte] = std::int32_t(tokens_.size());
      tokens_.emplace_back(1, char(byte));
    }
    add_words(pieces);
    count_pairs();
  }

  // The bytes and what was learned; pattern and special tokens are the caller's.
  TokenizerSpec run() {
    while (tokens_.size() < target_ && !queue_.empty()) {
      Candidate top = pop();
      const std::int64_t count = *counts_.find(pair_key(top.left, top.right));
      if (top.count != count) {
        top.count = count;
        push(std::move(top));
      } else if (count < 1) {
        break;
      } else {
        merge(top);
      }
    }
    TokenizerSpec learned;
    learned.tokens = std::move(tokens_);
    learned.merges = std::move(merges_);
    return learned;
  }

 private:
  void add_words(const Counts& pieces) {
    DROVER_CHECK(pieces.size() < (std::size_t(1) << 31), pieces.size());
    for (const auto& [piece, count] : pieces) {
      words_.push_back({std::int64_t(letters_.size()), std::int32_t(piece.size()), count});
      for (const char byte : piece) letters_.push_back(byte_ids_[static_cast<unsigned char>(byte)]);
    }
  }

  void count_pairs() {
    for (std::size_t word = 0; word < words_.size(); ++word) {
      const Word& at = words_[word];
      for (std::int64_t i = at.begin; i + 1 < at.begin + at.size; ++i)
        gain(letters_[i], letters_[i + 1], std::int32_t(word));
    }
    queue_gained();
  }

  // One more occurrence of a pair in `word`.
  void gain(std::int32_t left, std::int32_t right, std::int32_t word) {
    const std::uint64_t key = pair_key(left, right);
    counts_.at_or_add(key) += words_[std::size_t(word)].count;
    std::int32_t& place = gained_index_.at_or_add(key, -1);
    if (place < 0) {
      place = std::int32_t(gained_.size());
      gained_.push_back({.count = 0, .left = left, .right = right, .words = {}});
    }
    std::vector<std::int32_t>& words = gained_[std::size_t(place)].words;
    if (words.empty() || words.back() != word) words.push_back(word);
  }

  void lose(std::int32_t left, std::int32_t right, std::int32_t word) {
    counts_.at_or_add(pair_key(left, right)) -= words_[std::size_t(word)].count;
  }

  void queue_gained() {
    for (Candidate& candidate : gained_) {
      candidate.count = *counts_.find(pair_key(candidate.left, candidate.right));
      if (candidate.count > 0) push(std::move(candidate));
    }
    gained_.clear();
    gained_index_ = PairTable<std::int32_t>();
  }

  void push(Candidate candidate) {
    queue_.push_back(std::move(candidate));
    std::push_heap(queue_.begin(), queue_.end());
  }

  Candidate pop() {
    std::pop_heap(queue_.begin(), queue_.end());
    Candidate top = std::move(queue_.back());
    queue_.pop_back();
    return top;
  }

  // No two pairs make the same token. A token's two ends were ends from the start, since merging only removes
  // boundaries, so what happened between them is what happens to its bytes alone: one derivation. Hence the
  // token is new, so are all pairs with it, and every pair is queued once.
  void merge(const Candidate& pair) {
    const auto merged = std::int32_t(tokens_.size());
    tokens_.push_back(tokens_[std::size_t(pair.left)] + tokens_[std::size_t(pair.right)]);
    merges_.push_back({pair.left, pair.right, merged, std::int32_t(merges_.size())});
    for (const std::int32_t word : pair.words) merge_in(word, merges_.back());
    queue_gained();
  }

  void merge_in(std::int32_t word, const Merge& merge) {
    Word& at = words_[std::size_t(word)];
    std::int32_t* letters = letters_.data() + at.begin;
    std::int32_t kept = 0;
    for (std::int32_t i = 0; i < at.size; ++i) {
      const bool match = i + 1 < at.size && letters[i] == merge.left && letters[i + 1] == merge.right;
      if (!match) {
        letters[kept++] = letters[i];
        continue;
      }
      if (kept > 0) {
        lose(letters[kept - 1], merge.left, word);
        gain(letters[kept - 1], merge.merged, word);
      }
      ++i;
      if (i + 1 < at.size) {
        lose(merge.right, letters[i + 1], word);
        gain(merge.merged, letters[i + 1], word);
      }
      letters[kept++] = merge.merged;
    }
    at.size = kept;
  }

  std::size_t target_;
  std::vector<std::string> tokens_;
  std::array<std::int32_t, 256> byte_ids_{};
  std::vector<Merge> merges_;
  std::vector<Word> words_;
  std::vector<std::int32_t> letters_;  // ids of all words
  PairTable<std::int64_t> counts_;
  std::vector<Candidate> queue_;          // a heap
  std::vector<Candidate> gained_;         // pairs that occur anew in the merge under way
  PairTable<std::int32_t> gained_index_;  // key to place in gained_
};

}  // namespace

Tokenizer train_bpe(const TrainBpe& options, FunctionRef<bool(std::string& document)> next_document) {
  const auto smallest = std::int64_t(256 + options.specials.size());
  if (options.vocab_size < smallest || options.vocab_size > kMaxTokens) {
    throw usage_error("vocab_size ", options.vocab_size, " must lie between ", smallest, " (256 bytes and ",
                      options.specials.size(), " special tokens) and ", kMaxTokens);
  }
  DROVER_CHECK(options.threads >= 1, options.threads);
  const Counts pieces = PieceCounter(options, next_document).run();
  TokenizerSpec spec = Trainer(options, pieces).run();
  spec.splits = {{.pattern = options.pattern}};
  append_specials(options.specials, spec);
  spec.bos = conventional_bos(spec);
  spec.eos = conventional_eos(spec);
  return Tokenizer(std::move(spec), "train_bpe");
}

}  // namespace drover
