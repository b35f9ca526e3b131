// Which tokens of a row each context rank holds: pieces of the row, dealt so that every rank has exactly
// T / CP tokens and about as many attended pairs as every other. docs/context_parallel.md draws them.
//
//   head_tail  2 x CP chunks; rank i has the i-th from the front and the i-th from the end (Llama 3, section
//              3.3.2). Even for a row of one document. Where 2 x CP does not divide T, chunks of the first half
//              have ceil and those of the second floor of T / (2 CP) tokens.
//   balanced   fine pieces of T / (8 CP) tokens, dealt heaviest first (data/order/dealing.h); halved, down to 8
//              tokens, while ranks are uneven and that helps. A few tokens that fine pieces leave over stand at
//              the front of the row, where tokens have the fewest keys: one small piece for each rank.
//   automatic  head_tail, unless its heaviest rank has more than 1.05 times the mean; then balanced.
//
// A pure function of the row's documents, so context ranks agree without messages. O(pieces x log pieces +
// documents). Thread rules: one thread at a time; an answer lives until the next cut().
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "data/order/dealing.h"
#include "data/order/feed.h"

namespace drover {

enum class ContextPieces : std::uint8_t { automatic, head_tail, balanced };

// "auto", "head_tail", "balanced": values of parallel.context_pieces. Error{usage} lists them.
ContextPieces context_pieces_named(const std::string& name);

// One rank's place among the context ranks that share a row.
struct ContextShare {
  int rank = 0;
  int ranks = 1;  // CP
  ContextPieces pieces = ContextPieces::automatic;
};

// Throws Error{usage} with the nearest legal lengths unless T is a multiple of CP. `key`: of T, in the
// message.
void require_context_length(std::int64_t sequence_length, int context_ranks, const std::string& key);

// Tokens [begin, end) of a row, held by one context rank.
struct ContextPiece {
  std::int64_t begin = 0, end = 0;
  int rank = 0;

  std::int64_t length() const { return end - begin; }
  bool operator==(const ContextPiece&) const = default;
};

// Attended pairs of any range of a row's tokens: a token attends as many keys as its document has tokens up
// to it, in this row.
class RowPairs {
 public:
  void reserve(std::int64_t documents);
  void measure(std::span<const Piece> documents);

  std::int64_t tokens() const { return begins_.back(); }
  std::int64_t total() const { return before_.back(); }
  std::int64_t of(std::int64_t begin, std::int64_t end) const { return before(end) - before(begin); }

 private:
  std::int64_t before(std::int64_t token) const;

  std::vector<std::int64_t> begins_;  // of documents, and the end of the last
  std::vector<std::int64_t> before_;  // pairs of the tokens before that
};

class ContextCutter {
 public:
  // For rows of at most max_tokens: allocates here only.
  ContextCutter(int context_ranks, ContextPieces how, std::int64_t max_tokens);

  // documents: those of the row in order, lengths summing to T, a multiple of CP. The pieces in row order;
  // neighbours are of different ranks.
  std::span<const ContextPiece> cut(std::span<const Piece> documents);

  // Of the row that was cut last: attended pairs per context rank, and the heaviest over the mean.
  std::span<const std::int64_t> pairs_per_rank() const { return cut_.pairs; }
  double unevenness() const { return unevenness(cut_); }

 private:
  struct Cut {
    std::vector<ContextPiece> pieces;
    std::vector<std::int64_t> pairs;  // per rank
  };

  void reserve(std::int64_t max_pieces);
  void cut_head_tail();
  void cut_balanced();
  void deal(std::int64_t fine_length, Cut& out);
  void deal_equal(std::span<ContextPiece> equal);
  void append(ContextPiece piece, Cut& out) const;
  double unevenness(const Cut& cut) const;

  int ranks_;
  ContextPieces how_;
  RowPairs row_;
  Cut cut_, finer_;
  // Workspace of one deal().
  Dealer dealer_;
  std::vector<ContextPiece> fine_;
  std::vector<std::int64_t> loads_;    // per rank, of what is dealt
  std::vector<std::int64_t> weights_;  // per fine piece
  std::vector<std::int32_t> order_;    // of fine pieces, heaviest first
  std::vector<std::int64_t> ranks_of_;
};

}  // namespace drover
