#include "data/batch/context_pieces.h"

#include <algorithm>

#include "core/base/error.h"

namespace drover {
namespace {

constexpr double kUneven = 1.05;  // above this automatic prefers balanced
constexpr double kEven = 1.01;    // halving fine pieces further would gain nothing worth their number
constexpr std::int64_t kFinePerRank = 8;
constexpr std::int64_t kFinest = 8;  // tokens

}  // namespace

ContextPieces context_pieces_named(const std::string& name) {
  if (name == "auto") return ContextPieces::automatic;
  if (name == "head_tail") return ContextPieces::head_tail;
  if (name == "balanced") return ContextPieces::balanced;
  throw usage_error("parallel.context_pieces is '", name, "'; it must be auto, head_tail or balanced");
}

void require_context_length(std::int64_t sequence_length, int context_ranks, const std::string& key) {
  if (sequence_length % context_ranks == 0) return;
  throw usage_error(key, " is ", sequence_length,
                    "; it must be a multiple of parallel.context = ", context_ranks,
                    "; nearest: ", nearest_multiples(sequence_length, context_ranks));
}

void RowPairs::reserve(std::int64_t documents) {
  begins_.reserve(documents + 1);
  before_.reserve(documents + 1);
}

void RowPairs::measure(std::span<const Piece> documents) {
  begins_.assign(1, 0);
  before_.assign(1, 0);
  for (const Piece& document : documents) {
    begins_.push_back(begins_.back() + document.length);
    before_.push_back(before_.back() + document.length * (document.length + 1) / 2);
  }
}

std::int64_t RowPairs::before(std::int64_t token) const {
  const auto document = std::upper_bound(begins_.begin(), begins_.end(), token) - begins_.begin() - 1;
  const std::int64_t length = token - begins_[document];
  return before_[document] + length * (length + 1) / 2;
}

ContextCutter::ContextCutter(int context_ranks, ContextPieces how, std::int64_t max_tokens)
    : ranks_(context_ranks), how_(how) {
  DROVER_CHECK(context_ranks >= 1, context_ranks, " context ranks");
  row_.reserve(max_tokens);
  reserve(max_tokens);
}

// Of any kind: every piece may be one token. Pages that are never written cost nothing.
void ContextCutter::reserve(std::int64_t max_pieces) {
  for (Cut* cut : {&cut_, &finer_}) {
    cut->pieces.reserve(max_pieces);
    cut->pairs.reserve(ranks_);
  }
  dealer_.reserve(ranks_, max_pieces);
  fine_.reserve(max_pieces);
  loads_.reserve(ranks_);
  weights_.reserve(max_pieces);
  order_.reserve(max_pieces);
  ranks_of_.reserve(max_pieces);
}

std::span<const ContextPiece> ContextCutter::cut(std::span<const Piece> documents) {
  row_.measure(documents);
  DROVER_CHECK(row_.tokens() % ranks_ == 0, "row of ", row_.tokens(), " tokens for ", ranks_,
               " context ranks");
  if (how_ != ContextPieces::balanced) cut_head_tail();
  if (how_ == ContextPieces::balanced || (how_ == ContextPieces::automatic && unevenness() > kUneven))
    cut_balanced();
  return cut_.pieces;
}

double ContextCutter::unevenness(const Cut& cut) const {
  const std::int64_t heaviest = *std::max_element(cut.pairs.begin(), cut.pairs.end());
  return static_cast<double>(heaviest) * ranks_ / static_cast<double>(row_.total());
}

void ContextCutter::append(ContextPiece piece, Cut& out) const {
  if (piece.length() == 0) return;
  out.pairs[piece.rank] += row_.of(piece.begin, piece.end);
  if (!out.pieces.empty() && out.pieces.back().rank == piece.rank) {
    out.pieces.back().end = piece.end;
  } else {
    out.pieces.push_back(piece);
  }
}

void ContextCutter::cut_head_tail() {
  const std::int64_t share = row_.tokens() / ranks_, tail = share / 2, head = share - tail;
  cut_.pieces.clear();
  cut_.pairs.assign(ranks_, 0);
  std::int64_t begin = 0;
  for (int rank = 0; rank < ranks_; ++rank, begin += head) append({begin, begin + head, rank}, cut_);
  for (int rank = ranks_ - 1; rank >= 0; --rank, begin += tail) append({begin, begin + tail, rank}, cut_);
}

void ContextCutter::cut_balanced() {
  std::int64_t fine = std::max<std::int64_t>(row_.tokens() / ranks_ / kFinePerRank, 1);
  deal(fine, cut_);
  for (fine /= 2; fine >= kFinest && unevenness() > kEven; fine /= 2) {
    deal(fine, finer_);
    if (unevenness(finer_) < unevenness()) std::swap(cut_, finer_);
  }
}

// The row as one small piece for each rank, then fine pieces, as many for each rank.
void ContextCutter::deal(std::int64_t fine_length, Cut& out) {
  const std::int64_t share = row_.tokens() / ranks_, small = share % fine_length;
  fine_.clear();
  for (std::int64_t end = small; small > 0 && end <= small * ranks_; end += small)
    fine_.push_back({.begin = end - small, .end = end});
  const std::size_t small_ones = fine_.size();
  for (std::int64_t end = small * ranks_ + fine_length; end <= row_.tokens(); end += fine_length)
    fine_.push_back({.begin = end - fine_length, .end = end});
  const std::span all(fine_);
  loads_.assign(ranks_, 0);
  deal_equal(all.subspan(small_ones));
  deal_equal(all.first(small_ones));
  out.pieces.clear();
  out.pairs.assign(ranks_, 0);
  for (const ContextPiece& piece : fine_) append(piece, out);
}

// Sets the ranks of pieces of equal length, as many for each.
void ContextCutter::deal_equal(std::span<ContextPiece> equal) {
  weights_.clear();
  for (const ContextPiece& piece : equal) weights_.push_back(row_.of(piece.begin, piece.end));
  order_by_weight(weights_, order_);
  ranks_of_.resize(equal.size());
  dealer_.deal(weights_, order_, loads_, ranks_of_);
  for (std::size_t i = 0; i < equal.size(); ++i) equal[i].rank = static_cast<int>(ranks_of_[i]);
}

}  // namespace drover
