#include "data/batch/explain.h"

#include <algorithm>
#include <iomanip>
#include <numeric>
#include <sstream>

#include "core/base/error.h"
#include "data/batch/step_plan.h"

namespace drover {
namespace {

constexpr std::int64_t kColumns = 64;
constexpr std::string_view kDigits = "0123456789abcdefghijklmnopqrstuvwxyz";
constexpr std::string_view kLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
constexpr std::size_t kMostPieces = 12;  // listed of one rank

// Appends `letter` for every column whose first token is before `end` and is not drawn yet.
void draw_until(std::int64_t end, std::int64_t tokens, std::int64_t columns, char letter, std::string& line) {
  while (static_cast<std::int64_t>(line.size()) * tokens < end * columns &&
         static_cast<std::int64_t>(line.size()) < columns)
    line += letter;
}

double over_mean(std::int64_t value, std::int64_t total, std::int64_t parts) {
  return total == 0 ? 1.0
                    : static_cast<double>(value) * static_cast<double>(parts) / static_cast<double>(total);
}

class Explanation {
 public:
  Explanation(const LoaderOptions& options, std::int64_t step)
      : options_(options),
        planner_(options),
        cutter_(options.context.ranks, options.context.pieces, planner_.max_sequence_length()) {
    SamplerState state = planner_.sampler().start();
    while (state.step + 1 < step) planner_.sampler().advance(state);
    require_context_length(planner_.sampler().phase_of(state).sequence_length, options.context.ranks,
                           "sequence_length");
    planner_.plan(state);
    out_ << std::fixed << std::setprecision(3);
  }

  std::string print(std::int64_t step) {
    print_step(step);
    print_slots();
    print_ranks();
    for (const std::int32_t row : planner_.assigned().rows_of(0, 0)) print_row(row);
    return out_.str();
  }

 private:
  std::int64_t slots() const { return options_.data_ranks * planner_.assigned().microbatches(); }

  std::int64_t pairs_of(std::span<const std::int32_t> rows) const {
    std::int64_t pairs = 0;
    for (const std::int32_t row : rows) pairs += planner_.pairs()[row];
    return pairs;
  }

  std::int64_t pairs_of_rank(int rank) const {
    std::int64_t pairs = 0;
    for (std::int64_t i = 0; i < planner_.assigned().microbatches(); ++i)
      pairs += pairs_of(planner_.assigned().rows_of(rank, i));
    return pairs;
  }

  void print_step(std::int64_t step) {
    const StepRows& rows = planner_.rows();
    out_ << "step " << step << ": " << rows.rows.size() << " rows of " << rows.sequence_length << " tokens, "
         << planner_.total_pairs() << " attended pairs\n"
         << options_.data_ranks << " data ranks x " << planner_.assigned().microbatches()
         << " microbatches, rows shared by " << options_.context.ranks << " context ranks\n\n";
  }

  void print_slots() {
    out_ << "data rank  microbatch     attended pairs  rows\n";
    for (int rank = 0; rank < options_.data_ranks; ++rank) {
      for (std::int64_t i = 0; i < planner_.assigned().microbatches(); ++i) print_slot(rank, i);
    }
  }

  void print_slot(int rank, std::int64_t microbatch) {
    const auto rows = planner_.assigned().rows_of(rank, microbatch);
    out_ << std::setw(9) << rank << std::setw(12) << microbatch << std::setw(19) << pairs_of(rows) << ' ';
    for (const std::int32_t row : rows) out_ << ' ' << row;
    out_ << (rows.empty() ? " none\n" : "\n");
  }

  void print_ranks() {
    std::int64_t heaviest_rank = 0, heaviest_slot = 0;
    out_ << "\ndata rank     attended pairs  of the mean\n";
    for (int rank = 0; rank < options_.data_ranks; ++rank) {
      const std::int64_t pairs = pairs_of_rank(rank);
      heaviest_rank = std::max(heaviest_rank, pairs);
      for (std::int64_t i = 0; i < planner_.assigned().microbatches(); ++i)
        heaviest_slot = std::max(heaviest_slot, pairs_of(planner_.assigned().rows_of(rank, i)));
      out_ << std::setw(9) << rank << std::setw(19) << pairs << std::setw(13)
           << over_mean(pairs, planner_.total_pairs(), options_.data_ranks) << '\n';
    }
    out_ << "heaviest data rank: " << over_mean(heaviest_rank, planner_.total_pairs(), options_.data_ranks)
         << " of the mean; heaviest microbatch: " << over_mean(heaviest_slot, planner_.total_pairs(), slots())
         << " of the mean\n";
  }

  void print_row(std::int32_t row) {
    const std::span<const Piece> documents = planner_.documents_of(row);
    const std::span<const ContextPiece> pieces = cutter_.cut(documents);
    out_ << "\nrow " << row << ": feed position " << planner_.rows().rows[row].position << " of "
         << planner_.source_of(row).name() << ", documents: " << documents.size() << '\n';
    out_ << "  documents     " << draw_documents(documents, kColumns) << '\n';
    if (options_.context.ranks == 1) return;
    if (options_.context.ranks <= static_cast<int>(kDigits.size()))
      out_ << "  context ranks " << draw_pieces(pieces, kColumns) << '\n';
    out_ << "context rank     attended pairs  of the mean  pieces\n";
    for (int rank = 0; rank < options_.context.ranks; ++rank) print_context_rank(rank, pieces);
    out_ << "heaviest context rank: " << cutter_.unevenness() << " of the mean\n";
  }

  void print_context_rank(int rank, std::span<const ContextPiece> pieces) {
    const std::int64_t pairs = cutter_.pairs_per_rank()[rank], total = planner_.rows().sequence_length;
    const std::span all = cutter_.pairs_per_rank();
    out_ << std::setw(12) << rank << std::setw(19) << pairs << std::setw(13)
         << over_mean(pairs, std::accumulate(all.begin(), all.end(), std::int64_t{0}), options_.context.ranks)
         << ' ';
    std::size_t held = 0;
    for (const ContextPiece& piece : pieces) {
      if (piece.rank != rank || ++held > kMostPieces) continue;
      out_ << " [" << piece.begin << ", " << piece.end << ")";
    }
    if (held > kMostPieces) out_ << " and " << held - kMostPieces << " more";
    out_ << ", " << total / options_.context.ranks << " tokens\n";
  }

  const LoaderOptions& options_;
  StepPlanner planner_;
  ContextCutter cutter_;
  std::ostringstream out_;
};

}  // namespace

std::string explain_step(const LoaderOptions& options, std::int64_t step) {
  return Explanation(options, step).print(step);
}

std::string draw_documents(std::span<const Piece> documents, std::int64_t columns) {
  std::int64_t tokens = 0, end = 0;
  for (const Piece& document : documents) tokens += document.length;
  std::string line;
  for (std::size_t i = 0; i < documents.size(); ++i) {
    end += documents[i].length;
    draw_until(end, tokens, std::min(columns, tokens), kLetters[i % kLetters.size()], line);
  }
  return line;
}

std::string draw_pieces(std::span<const ContextPiece> pieces, std::int64_t columns) {
  const std::int64_t tokens = pieces.back().end;
  std::string line;
  for (const ContextPiece& piece : pieces) {
    DROVER_CHECK(piece.rank < static_cast<int>(kDigits.size()), "context rank ", piece.rank, " to draw");
    draw_until(piece.end, tokens, std::min(columns, tokens), kDigits[piece.rank], line);
  }
  return line;
}

}  // namespace drover
