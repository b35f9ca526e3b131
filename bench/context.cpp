// Does context-parallel attention cost what its mask leaves? Rows of documents, cut among context ranks as training cuts
// them; for each row forward and backward of every rank's attention, on one thread, in turns with the full causal mask.
// What counts is the slowest rank, for whom the others wait. Gathers are not part of it.
//   bench_context [--tokens=4096] [--rounds=5]
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <memory>
#include <random>
#include <vector>

#include "bench/attention_operands.h"
#include "bench/support.h"
#include "data/batch/context_pieces.h"
#include "data/batch/segments.h"

namespace drover {
namespace {

using Documents = std::vector<Piece>;

double full_pairs(std::int64_t tokens) {
  return static_cast<double>(tokens) * static_cast<double>(tokens + 1) / 2;
}

// Of a row's own full causal mask.
double pair_ratio(const Documents& documents) {
  return static_cast<double>(attended_pairs(documents)) / full_pairs(total_length(documents));
}

// Log-normal lengths: median 400, sigma 1.5, clipped at the row.
Documents random_row(std::mt19937_64& random, std::int64_t tokens) {
  std::lognormal_distribution<double> length(std::log(400.0), 1.5);
  Documents row;
  for (std::int64_t at = 0; at < tokens; at += row.back().length) {
    const auto drawn = static_cast<std::int64_t>(std::max(1.0, std::min(length(random), 1e9)));
    row.push_back({.source_begin = at, .length = std::min(drawn, tokens - at)});
  }
  return row;
}

// Of 4000 such rows, the one whose pair ratio is nearest.
Documents row_with(double ratio, std::int64_t tokens) {
  std::mt19937_64 random(11);
  Documents best = random_row(random, tokens);
  for (int i = 1; i < 4000; ++i)
    if (Documents row = random_row(random, tokens);
        std::abs(pair_ratio(row) - ratio) < std::abs(pair_ratio(best) - ratio))
      best = std::move(row);
  return best;
}

// Attention of one row on each of the context ranks.
class Row {
 public:
  Row(const Documents& documents, int ranks, CpuPath path) : documents_(documents), path_(path) {
    const std::int64_t tokens = total_length(documents);
    ContextCutter cutter(ranks, ContextPieces::automatic, tokens);
    const auto pieces = cutter.cut(documents);
    for (int rank = 0; rank < ranks; ++rank)
      ranks_.push_back(std::make_unique<AttentionOperands>(
          AttentionShape{.keys = tokens, .segments = segments_of(pieces, rank)}, path, 1));
  }

  // Seconds of the slowest rank.
  double span(ThreadPool& pool) const {
    double slowest = 0;
    for (const auto& rank : ranks_) {
      const auto start = std::chrono::steady_clock::now();
      cpu::attention_forward(pool, path_, rank->forward);
      cpu::attention_backward(pool, path_, rank->backward);
      slowest =
          std::max(slowest, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    }
    return slowest;
  }

 private:
  std::vector<Segment> segments_of(std::span<const ContextPiece> pieces, int rank) const {
    std::vector<TokenSpan> spans;
    append_spans(documents_, pieces, rank, spans);
    std::vector<Segment> segments;
    std::int64_t at = 0;
    for (const TokenSpan& span : spans) {
      segments.push_back(segment_of(span, at, 0));
      at += span.tokens.length;
    }
    return segments;
  }

  Documents documents_;
  CpuPath path_;
  std::vector<std::unique_ptr<AttentionOperands>> ranks_;
};

void compare(const Documents& documents, int ranks, int rounds) {
  const std::int64_t tokens = total_length(documents);
  ThreadPool pool(1);
  const Row full({{.source_begin = 0, .length = tokens}}, ranks, default_cpu_path());
  const Row masked(documents, ranks, default_cpu_path());
  full.span(pool);
  masked.span(pool);
  std::vector<double> ratios;
  for (int round = 0; round < rounds; ++round) ratios.push_back(masked.span(pool) / full.span(pool));
  const double pairs = pair_ratio(documents), time = median(ratios);
  std::printf("CP %d  documents %3zu  pair ratio %.3f  time ratio %.3f  %.2f x the pair ratio  bound %.3f\n",
              ranks, documents.size(), pairs, time, time / pairs,
              pairs >= 0.35 ? 1.1 * pairs : 1.25 * pairs + 0.05);
}

}  // namespace
}  // namespace drover

int main(int count, char** arguments) {
  using namespace drover;
  const std::int64_t tokens = value_of(count, arguments, "--tokens=", 4096);
  const int rounds = static_cast<int>(value_of(count, arguments, "--rounds=", 5));
  for (const int ranks : {2, 4})
    for (const double ratio : {0.9, 0.75, 0.6, 0.5, 0.42, 0.36, 0.25, 0.15, 0.08})
      compare(row_with(ratio, tokens), ranks, rounds);
}
