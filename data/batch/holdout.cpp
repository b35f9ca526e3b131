#include "data/batch/holdout.h"

#include <algorithm>
#include <numbers>

#include "core/base/error.h"
#include "data/order/assignment.h"

namespace drover {
namespace {

std::int64_t documents_with_tokens(const TokenSource& source) {
  std::int64_t documents = 0;
  for (std::int64_t i = 0; i < source.document_count(); ++i) {
    if (source.offset(i + 1) < source.offset(i))
      throw input_error("hold-out ", source.where(), ": document ", i,
                        " ends before it begins; prepare the store again");
    documents += source.offset(i + 1) > source.offset(i);
  }
  return documents;
}

// The last document that starts at or before `token`; empty ones share their successor's start.
std::int64_t document_at(const TokenSource& source, std::int64_t token) {
  std::int64_t low = 0, high = source.document_count() - 1;
  while (low < high) {
    const std::int64_t middle = low + (high - low + 1) / 2;
    if (source.offset(middle) <= token) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return low;
}

const HoldoutOptions& checked(const TokenSource& source, const HoldoutOptions& options) {
  if (source.total_tokens() <= 0)
    throw input_error("hold-out ", source.where(), " has no tokens; prepare it from text");
  DROVER_CHECK(options.sequence_length >= 1 && options.max_rows >= 0 && options.microbatch_sequences >= 1,
               "hold-out rows of ", options.sequence_length);
  DROVER_CHECK(options.data_rank >= 0 && options.data_rank < options.data_ranks, "rank ", options.data_rank);
  require_context_length(options.sequence_length, options.context.ranks, "sequence_length");
  return options;
}

}  // namespace

Holdout::Holdout(Memory& memory, const TokenSource& source, const HoldoutOptions& options)
    : source_(source),
      options_(checked(source, options)),
      source_rows_((source.total_tokens() + options.sequence_length - 1) / options.sequence_length),
      rows_(options.max_rows == 0 ? source_rows_ : std::min(options.max_rows, source_rows_)),
      microbatch_rows_(std::min<std::int64_t>(options.microbatch_sequences, rows_)),
      microbatches_(microbatches_of(rows_, options.data_ranks, options.microbatch_sequences)),
      total_targets_(source.total_tokens() - documents_with_tokens(source)),
      buffer_(memory, options.sequence_length, max_microbatch_tokens(), options.context) {
  pieces_.reserve(options.sequence_length);
}

double Holdout::bits_per_byte(double loss) const {
  const double targets_per_byte =
      static_cast<double>(total_targets_) / static_cast<double>(source_.text_bytes());
  return loss / std::numbers::ln2 * targets_per_byte;
}

// Row numbers go round the ranks, microbatch by microbatch.
std::int64_t Holdout::first_row(std::int64_t i) const {
  return (i * options_.data_ranks + options_.data_rank) * options_.microbatch_sequences;
}

std::int64_t Holdout::rows_of(std::int64_t i) const {
  return std::clamp<std::int64_t>(rows_ - first_row(i), 0, options_.microbatch_sequences);
}

const Microbatch& Holdout::microbatch(std::int64_t i) {
  DROVER_CHECK(i >= 0 && i < microbatches_, "microbatch ", i, " of ", microbatches_);
  const std::int64_t first = first_row(i), last = first + rows_of(i);
  buffer_.clear();
  for (std::int64_t row = first; row < last; ++row) append_row(row * source_rows_ / rows_);
  batch_ = buffer_.finish_microbatch();
  return batch_;
}

void Holdout::append_row(std::int64_t source_row) {
  const std::int64_t length = options_.sequence_length, begin = source_row * length;
  pieces_.clear();
  append_pieces(begin, std::min(begin + length, source_.total_tokens()));
  buffer_.append_row(source_, pieces_, length);
}

void Holdout::append_pieces(std::int64_t begin, std::int64_t end) {
  for (std::int64_t document = document_at(source_, begin); begin < end; ++document) {
    const std::int64_t document_end = source_.offset(document + 1);
    if (document_end == begin) continue;
    const std::int64_t piece_end = std::min(document_end, end);
    pieces_.push_back({begin, piece_end - begin, piece_end == document_end});
    begin = piece_end;
  }
}

}  // namespace drover
