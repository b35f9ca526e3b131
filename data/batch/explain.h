// Who trains what in one step, for people: `drover data explain`. Nothing but what data/order/assignment.h and
// data/batch/context_pieces.h answer, as text.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "data/batch/context_pieces.h"
#include "data/batch/loader.h"

namespace drover {

// Of all ranks; data_rank and context.rank of the options are not looked at. `step` is its number, from 1; what
// comes before it is passed over row by row. Says which rows each (data rank, microbatch) has, their attended pairs,
// ranks' sums and the heaviest over the mean; for the rows of the first microbatch, what each context rank
// holds. Error{usage}: rows that context ranks cannot share.
std::string explain_step(const LoaderOptions& options, std::int64_t step);

// A row as two lines of at most `columns` characters: its documents (a letter each, in turn), and the context
// ranks that hold them (0-9, then a-z). A character stands for as many tokens as every other; what begins or
// ends inside one is drawn by its first token. CP at most 36.
std::string draw_documents(std::span<const Piece> documents, std::int64_t columns);
std::string draw_pieces(std::span<const ContextPiece> pieces, std::int64_t columns);

}  // namespace drover
