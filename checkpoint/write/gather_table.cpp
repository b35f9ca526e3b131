#include "checkpoint/write/gather_table.h"

#include <algorithm>
#include <iterator>

#include "checkpoint/format/coverage.h"
#include "parallel/comm/agreement.h"

namespace drover {
namespace {

// Both sorted.
std::vector<StoredTensor> merged(std::span<const StoredTensor> a, std::span<const StoredTensor> b) {
  std::vector<StoredTensor> both;
  std::merge(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(both), before);
  both.erase(std::unique(both.begin(), both.end()), both.end());
  return both;
}

std::vector<StoredTensor> gather_tensors(const Exec& exec, Communicator& world,
                                         std::vector<StoredTensor> mine) {
  std::sort(mine.begin(), mine.end(), before);
  std::string text = tensors_text(mine);
  join_on_first(exec, world, text, [](std::string& lower, const std::string& higher) {
    lower = tensors_text(merged(parse_tensors(lower), parse_tensors(higher)));
  });
  broadcast_text(exec, world, text, 0);
  return parse_tensors(text);
}

}  // namespace

GatheredTable gather_table(const Exec& exec, Communicator& world, const RankTable& mine) {
  GatheredTable gathered{.tensors = gather_tensors(exec, world, mine.tensors), .table = {}};
  if (mine.bytes > 0)
    gathered.table = file_text(file_of(world.rank(), mine, gathered.tensors), gathered.tensors);
  join_on_first(exec, world, gathered.table,
                [](std::string& lower, const std::string& higher) { lower += higher; });
  return gathered;
}

void check_covered(const GatheredTable& gathered) {
  std::vector<Coverage> covered(gathered.tensors.size());
  for_each_file(gathered.table, gathered.tensors, "the ranks' tables", [&](const StoredFile& file) {
    for (const StoredPiece& piece : file.pieces) {
      const auto at = static_cast<std::size_t>(piece.tensor);
      covered[at].add(piece.box, gathered.tensors[at].shape[1]);
    }
  });
  for (std::size_t i = 0; i < covered.size(); ++i) {
    const StoredTensor& tensor = gathered.tensors[i];
    DROVER_CHECK(i == 0 || before(gathered.tensors[i - 1], tensor),
                 "ranks disagree: ", describe(gathered.tensors[i - 1]), " and ", describe(tensor));
    Coverage whole;
    whole.add(tensor.whole(), tensor.shape[1]);
    DROVER_CHECK(covered[i] == whole, "the ranks' pieces of ", describe(tensor),
                 " do not cover it exactly once: ", covered[i].elements(), " of ", tensor.numel(),
                 " elements");
  }
}

}  // namespace drover
