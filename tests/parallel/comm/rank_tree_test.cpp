// Small messages of many ranks travel along a tree: how many a rank has, and that everything arrives with the bits of
// the reduction that has all parts in one place.
#include "parallel/comm/rank_tree.h"

#include <map>

#include "core/cpu/cpu_backend.h"
#include "tests/support/conformance_data.h"
#include "tests/support/test_support.h"

using namespace drover;

namespace {

using Stage = RankTree::Stage;

std::vector<RankTree::Hop> hops_of(int rank, int size) {
  std::vector<RankTree::Hop> hops;
  RankTree(rank, size).each_hop([&](const RankTree::Hop& hop) { hops.push_back(hop); });
  return hops;
}

// Carries out the hops of all ranks, a stage at a time: whose parts each rank has at the end. Empty where a rank sends
// what it does not have, or a message has one end only.
std::vector<std::vector<bool>> carried_out(int size) {
  std::vector<std::vector<bool>> has(static_cast<std::size_t>(size),
                                     std::vector<bool>(static_cast<std::size_t>(size)));
  for (std::size_t rank = 0; rank < has.size(); ++rank) has[rank][rank] = true;
  // A rank receives from its parent before it sends to its children; parents are lower ranks.
  for (const auto& [up, down] : {std::pair{Stage::kToFirstOfSection, Stage::kToFirstOfSection},
                                 {Stage::kToRankZero, Stage::kToRankZero},
                                 {Stage::kFromParent, Stage::kToChildren}}) {
    std::map<std::pair<int, int>, std::pair<int, int>> expected;
    for (int rank = 0; rank < size; ++rank)
      for (const RankTree::Hop& hop : hops_of(rank, size))
        if (hop.stage == up && !hop.sends) expected[{hop.peer, rank}] = {hop.begin, hop.end};
    for (int rank = 0; rank < size; ++rank)
      for (const RankTree::Hop& hop : hops_of(rank, size)) {
        if (hop.stage != down || !hop.sends) continue;
        const auto message = expected.find({rank, hop.peer});
        if (message == expected.end() || message->second != std::pair(hop.begin, hop.end)) return {};
        expected.erase(message);
        for (int part = hop.begin; part < hop.end; ++part) {
          if (!has[static_cast<std::size_t>(rank)][static_cast<std::size_t>(part)]) return {};
          has[static_cast<std::size_t>(hop.peer)][static_cast<std::size_t>(part)] = true;
        }
      }
    if (!expected.empty()) return {};
  }
  return has;
}

}  // namespace

TEST_CASE("along the tree every rank's part comes to every rank") {
  for (const int size : {65, 66, 128, 129, 130, 200, 1000}) {
    INFO(size << " ranks");
    CHECK((carried_out(size) == std::vector(static_cast<std::size_t>(size),
                                            std::vector<bool>(static_cast<std::size_t>(size), true))));
  }
}

TEST_CASE("of 16,384 ranks none has more than some hundreds of messages, and almost all a few") {
  constexpr int kRanks = 16384;
  std::size_t most = 0, total = 0;
  for (int rank = 0; rank < kRanks; ++rank) {
    const std::size_t messages = hops_of(rank, kRanks).size();
    most = std::max(most, messages);
    total += messages;
  }
  CHECK(most == 63 + 255 + 14);  // rank 0: its run, the other sections, its children
  CHECK(total == 2 * 2 * (kRanks - 1));
}

namespace {

template <class T>
void sums_in_two_steps(int size, Reduction reduction) {
  constexpr std::int64_t kLength = 37;
  HostMemory memory;
  const auto backend = make_cpu_backend(memory, {.threads = 1});
  Arena scratch;
  const Exec exec{.backend = *backend, .scratch = scratch};
  std::vector<std::vector<T>> values;
  std::vector<Tensor> parts;
  for (int rank = 0; rank < size; ++rank)
    parts.push_back(
        Tensor::of(values.emplace_back(conformance::values<T>(3, rank, 0, kLength)).data(), {kLength}));
  std::vector<T> whole(kLength), stepwise(kLength);
  OrderedReduction(size).run(exec, reduction, parts, Tensor::of(whole.data(), {kLength}));

  const DType wide = OrderedReduction::partial_dtype(dtype_of<T>, reduction);
  std::vector<std::array<double, kLength>> sums(static_cast<std::size_t>(RankTree(0, size).sections()));
  std::vector<Tensor> partials;
  for (std::size_t run = 0; run < sums.size(); ++run) {
    const int first = static_cast<int>(run) * RankTree::kSection;
    partials.push_back(Tensor::of(static_cast<void*>(sums[run].data()), wide, {kLength}));
    OrderedReduction::combine_section(
        exec, reduction,
        std::span(parts).subspan(static_cast<std::size_t>(first),
                                 static_cast<std::size_t>(RankTree(first, size).section_size())),
        partials.back());
  }
  OrderedReduction::combine_sections(exec, reduction, partials, Tensor::of(stepwise.data(), {kLength}));
  CHECK(conformance::same_bits(whole, stepwise));
}

}  // namespace

TEST_CASE("a reduction made of its sections' has the bits of the whole one") {
  for (const int size : {65, 130, 193})
    for (const Reduction reduction : {Reduction::sum, Reduction::max, Reduction::min}) {
      INFO(size << " ranks");
      sums_in_two_steps<float>(size, reduction);
      sums_in_two_steps<double>(size, reduction);
      sums_in_two_steps<bfloat16>(size, reduction);
      sums_in_two_steps<std::int64_t>(size, reduction);
    }
}
