// How many operations between ranks a checkpoint takes.
#include <set>

#include "parallel/comm/around_comm.h"
#include "tests/checkpoint/checkpoint_rig.h"
#include "tests/support/test_support.h"

namespace drover {
using namespace testing;

namespace {

class CountedComm final : public AroundComm {
 public:
  using AroundComm::AroundComm;
  int calls = 0;

 protected:
  Pending around(const CommCall&, FunctionRef<Pending()> start) override {
    ++calls;
    return start();
  }
  std::unique_ptr<Communicator> wrap(std::unique_ptr<Communicator> part) override {
    return std::make_unique<CountedComm>(std::move(part));
  }
};

// Of each rank, in order of ranks.
std::vector<int> calls_of(int ranks, const std::function<void(RankRig&)>& body) {
  std::vector<int> calls(static_cast<std::size_t>(ranks));
  run_local_ranks(ranks, [&](Communicator& world) {
    CountedComm counted(world.split(0, world.rank(), "counted"));
    RankRig rig(counted);
    body(rig);
    calls[static_cast<std::size_t>(world.rank())] = counted.calls;
  });
  return calls;
}

}  // namespace

TEST_CASE("resuming takes as many operations for any number of ranks and files, the same on every rank") {
  std::set<int> counts;
  for (const int writers : {1, 2, 8}) {
    const auto files = empty_run();
    save(*files, {.ranks = writers, .cut = Cut::rows});
    for (const int ranks : {1, 3, 8}) {
      for (const int calls : calls_of(ranks, [&](RankRig& rig) {
             const auto found =
                 find_checkpoint(*files, rig.exec, rig.world, "run/checkpoints", [](const std::string&) {});
             RankState state(small_model(), Cut::rows, rig.world.rank(), ranks);
             load_checkpoint(*files, rig.exec, rig.world, found.value(), state.entries);
           }))
        counts.insert(calls);
    }
  }
  CHECK(counts.size() == 1);
  CHECK(*counts.begin() <= 20);
}

TEST_CASE("a save takes a rank no more operations than twice its way to the root of a tree of ranks") {
  for (const int ranks : {1, 2, 8, 16}) {
    const auto files = empty_run();
    begin_attempt(*files, "run/checkpoints", 1);
    const std::vector<int> calls = calls_of(ranks, [&](RankRig& rig) {
      RankState state(small_model(), Cut::flat, rig.world.rank(), ranks);
      save_checkpoint(*files, rig.exec, rig.world,
                      {.folder = "run/checkpoints", .entries = state.entries, .state = run_state(1)});
    });
    int levels = 0;
    while (1 << levels < ranks) ++levels;
    for (const int count : calls)
      CHECK(count <= 5 + 2 * 2 * levels);  // a size and a text for each level and pass
  }
}

}  // namespace drover
