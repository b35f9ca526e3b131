#include <atomic>

#include "tests/support/local_training.h"
#include "tests/support/test_support.h"

namespace drover::testing {

TEST_CASE("what one rank wishes, all ranks are told with the same step") {
  PosixFileSystem files;
  std::atomic<int> stop = 0, save = 0, told_before = 0;
  run_local_ranks(3, [&](Communicator& world) {
    HostMemory memory;
    const auto backend = make_cpu_backend(memory, {.threads = 1});
    const Platform platform{.world = world, .backend = *backend, .host = memory, .files = files};
    const auto training = build_training(tiny_config(), platform);
    Trainer trainer(*training, platform);
    const StepReport before = trainer.step();
    told_before += before.stop || before.save;
    stop += trainer.step({.stop = world.rank() == 1}).stop;
    save += trainer.step({.save = world.rank() == 2}).save;
  });
  CHECK(told_before == 0);
  CHECK(stop == 3);
  CHECK(save == 3);
}

}  // namespace drover::testing
