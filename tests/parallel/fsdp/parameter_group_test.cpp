// ZeRO-3's verbs on one rank: when gathered weights stay, and when they are gathered again. And on two ranks what
// becomes of a reduction in flight when one of them fails.
#include "parallel/fsdp/parameter_group.h"

#include <atomic>
#include <thread>

#include "core/cpu/cpu_backend.h"
#include "core/ops/around_backend.h"
#include "core/ops/ops.h"
#include "parallel/comm/around_comm.h"
#include "parallel/comm/local/local_comm.h"
#include "tests/support/test_support.h"

namespace drover {
namespace {

// Counts what is started.
class CountedComm final : public AroundComm {
 public:
  using AroundComm::AroundComm;
  int started = 0;

 private:
  Pending around(const CommCall&, FunctionRef<Pending()> start) override {
    ++started;
    return start();
  }
  std::unique_ptr<Communicator> wrap(std::unique_ptr<Communicator> part) override { return part; }
};

// Two blocks of 32 elements that take turns in the memory of `at_once`, and a head that does not.
struct Blocks {
  explicit Blocks(std::int64_t at_once)
      : backend(make_cpu_backend(memory, {.threads = 1})),
        group(single_rank_world()),
        replicate(single_rank_world()),
        groups(memory, group, *replicate,
               {.layouts = {{.name = "layers.0", .size = 32, .shard_size = 32, .in_turn = true},
                            {.name = "layers.1", .size = 32, .shard_size = 32, .in_turn = true},
                            {.name = "head", .size = 64, .shard_size = 64}},
                .zero = Zero::three,
                .gathered_at_once = at_once}) {}

  Exec exec() { return {.backend = *backend, .scratch = scratch}; }
  void use(int block, StretchKind run, StretchPart part) {
    groups.use(exec(), block);
    groups.release(exec(), block, run, part);
  }
  float first_of(int block) { return groups.use(exec(), block).as<float>()[0]; }
  void write(int block, float value) {
    ops::fill(exec(), {.out = groups.shard(block).working, .value = value});
    groups.weights_updated(exec());
  }

  HostMemory memory;
  std::unique_ptr<Backend> backend;
  CountedComm group;
  std::unique_ptr<Communicator> replicate;
  Arena scratch = Arena::measuring(DeviceKind::cpu);
  ParameterGroups groups;
};

}  // namespace

TEST_CASE("a run gathers once, and the next one again") {
  Blocks blocks(1);
  for (int run = 1; run <= 3; ++run) {
    blocks.use(0, StretchKind::forward, StretchPart::middle);
    blocks.use(0, StretchKind::forward, StretchPart::middle);
    blocks.use(0, StretchKind::forward, StretchPart::last);
    CHECK(blocks.group.started == run);
  }
}

TEST_CASE("a head has memory of its own, on a rank without blocks too") {
  Blocks blocks(0);
  blocks.write(2, 3);
  CHECK(blocks.first_of(2) == 3);
}

TEST_CASE("weights stay until the last run that uses them ends") {
  Blocks blocks(1);
  blocks.use(0, StretchKind::forward, StretchPart::middle);
  blocks.use(0, StretchKind::weight_gradient, StretchPart::middle);
  blocks.use(0, StretchKind::forward, StretchPart::last);
  CHECK_THROWS_AS(blocks.groups.use(blocks.exec(), 1), Error);  // no room
  blocks.use(0, StretchKind::weight_gradient, StretchPart::last);
  CHECK(blocks.group.started == 1);
  blocks.use(1, StretchKind::forward, StretchPart::last);
  CHECK(blocks.group.started == 2);
}

TEST_CASE("a run whose last action uses no weights releases them all the same") {
  Blocks blocks(2);
  blocks.use(0, StretchKind::weight_gradient, StretchPart::middle);
  blocks.use(1, StretchKind::weight_gradient, StretchPart::middle);
  blocks.use(1, StretchKind::forward, StretchPart::middle);
  blocks.groups.end_stretch(blocks.exec(), StretchKind::weight_gradient);
  blocks.use(0, StretchKind::forward, StretchPart::last);
  blocks.use(1, StretchKind::forward, StretchPart::last);
  CHECK(blocks.group.started == 3);  // 0 again, 1 was still there
}

TEST_CASE("weights after an update are the new ones, and an update inside a run is refused") {
  Blocks blocks(1);
  blocks.write(0, 3);
  CHECK(blocks.first_of(0) == 3);
  blocks.groups.release(blocks.exec(), 0, StretchKind::forward, StretchPart::middle);
  CHECK_THROWS_AS(blocks.write(0, 4), Error);
  CHECK(blocks.first_of(0) == 3);
  blocks.groups.release(blocks.exec(), 0, StretchKind::forward, StretchPart::last);
  blocks.write(0, 5);
  CHECK(blocks.first_of(0) == 5);
}

namespace {

// Of the memory of one rank: whether any of it was released.
class WatchedMemory final : public Memory {
 public:
  DeviceKind device() const override { return host_.device(); }
  void* allocate(std::int64_t bytes) override { return host_.allocate(bytes); }
  void release(void* data, std::int64_t bytes) noexcept override {
    released = true;
    host_.release(data, bytes);
  }
  std::atomic<bool> released{false};

 private:
  HostMemory host_;
};

// A backend whose first sum over ranks is watched.
class FirstSum final : public AroundBackend {
 public:
  using Watch = FunctionRef<void(FunctionRef<void()> sum)>;
  FirstSum(Backend& real, Watch watch) : AroundBackend(real), watch_(watch) {}
  void combine(const Exec& exec, const Combine& call) override {
    const auto sum = [&] { AroundBackend::combine(exec, call); };
    if (std::exchange(first_, false))
      watch_(sum);
    else
      sum();
  }

 private:
  void around(const VerbCall&, FunctionRef<void()> verb) override { verb(); }
  Watch watch_;
  bool first_ = true;
};

}  // namespace

TEST_CASE("a rank that fails while its gradients are reduced keeps their memory until no rank reads it") {
  constexpr std::int64_t kSize = 1 << 20;
  WatchedMemory of_failing;
  std::atomic<bool> sums{false};
  bool read_released = false;
  const auto watch = [&](FunctionRef<void()> sum) {
    sums = true;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));  // rank 0 fails, and would release
    sum();
    read_released = of_failing.released;
  };
  const auto reduce = [&](Communicator& world, Memory& memory, Backend& backend) {
    const auto replicate = single_rank_world();
    Arena scratch;
    const Exec exec{.backend = backend, .scratch = scratch};
    ParameterGroups groups(memory, world, *replicate,
                           {.layouts = {{.name = "layers.0", .size = kSize, .shard_size = kSize / 2}}});
    groups.begin_step(exec);
    groups.expect_stretches(0, 1);
    groups.gradients(exec, 0);
    groups.gradients_ready(exec, 0);
    while (world.rank() == 0 && !sums) std::this_thread::yield();
    if (world.rank() == 0) throw usage_error("rank 0 fails on purpose");
    groups.finish_gradients(exec);
  };
  const auto run = [&](Communicator& world) {
    HostMemory memory;
    const auto cpu = make_cpu_backend(memory, {.threads = 1});
    FirstSum watched(*cpu, watch);
    if (world.rank() == 0) return reduce(world, of_failing, *cpu);
    reduce(world, memory, watched);
  };
  CHECK_THROWS_WITH(run_local_ranks(2, run), Catch::Contains("on purpose"));
  CHECK_FALSE(read_released);
}

}  // namespace drover
