// The part of a save that needs the communicator and no file: the ranks' tables become the checkpoint's.
#pragma once

#include <string>
#include <vector>

#include "checkpoint/format/manifest.h"
#include "parallel/comm/communicator.h"

namespace drover {

struct GatheredTable {
  std::vector<StoredTensor> tensors;  // of all ranks, in the order of before(); on all ranks
  std::string table;                  // checkpoint/format/table.h; rank 0's, empty elsewhere
};
// `mine` describes this rank's file; one of no bytes stands for none. Two passes along a binary tree: the first makes the
// list of tensors, which all get, the second joins what each rank says of its file in terms of that list. Collective.
GatheredTable gather_table(const Exec& exec, Communicator& world, const RankTable& mine);

// Error{internal} naming a tensor that the table does not cover exactly once, or that the list has in two forms.
void check_covered(const GatheredTable& gathered);

}  // namespace drover
