// Two ranks that reach each other's memory as processes do, here driven step by step by one thread.
#include "parallel/comm/host/shared_collective.h"

#include <barrier>
#include <cstring>
#include <thread>

#include "tests/support/conformance_data.h"
#include "tests/support/shared_pages.h"
#include "tests/support/test_support.h"

using namespace drover;

namespace {

using State = SharedCollective::State;

constexpr std::int64_t kSmall = 1000, kLarge = 600001;  // float32: staged, and read where it is
constexpr std::int64_t kStagedElsewhere = 20001;        // read where it is in a heap, elsewhere staged

// Makes the channels of two ranks. `damaged`: the first rank's introduction arrives as another host's would.
class Pair {
 public:
  explicit Pair(bool damaged = false) {
    std::vector<std::byte> table;
    std::barrier meeting(2);
    const auto connect = [&](int rank) {
      const auto gather = [&](const void* mine, void* all, std::size_t bytes) {
        if (rank == 0) table.assign(2 * bytes, std::byte{});
        meeting.arrive_and_wait();
        std::memcpy(table.data() + rank * bytes, mine, bytes);
        meeting.arrive_and_wait();
        if (damaged && rank == 0 && bytes > 1) table[0] ^= std::byte{1};
        meeting.arrive_and_wait();
        std::memcpy(all, table.data(), 2 * bytes);
        meeting.arrive_and_wait();
      };
      channels_[rank] = SharedChannel::connect(rank, 2, seats_[rank], memory_, gather);
    };
    std::thread other(connect, 1);
    connect(0);
    other.join();
  }

  SharedChannel* channel(int rank) { return channels_[rank].get(); }
  SharedSeat& seat(int rank) { return seats_[rank]; }

 private:
  HostMemory memory_;
  SharedSeat seats_[2];
  std::unique_ptr<SharedChannel> channels_[2];
};

enum class Where { anywhere, heap };

// One rank's all_reduce of n elements, all `value`.
struct Sum {
  Sum(Pair& pair, int rank, std::int64_t n, float value, std::int64_t sequence = 0,
      Where where = Where::anywhere)
      : memory(pair.seat(rank).heap()),
        buffer(where == Where::heap ? static_cast<Memory&>(memory) : elsewhere,
               size_of(DType::float32) * kLarge, MemoryCategory::gradients),
        x(buffer.tensor(DType::float32, {n})) {
    std::fill_n(x.as<float>(), n, value);
    call.set(AllReduce{.x = x});
    operation.start(*pair.channel(rank), call, sequence);
  }
  State advance(const Exec& exec) {
    operation.advance(&exec);
    return operation.state();
  }
  SharedHeapMemory memory;
  HostMemory elsewhere;
  Buffer buffer;
  Tensor x;
  CollectiveCall call;
  SharedCollective operation;
};

bool all_are(const Tensor& x, float value) {
  const float* const data = x.as<float>();
  return std::all_of(data, data + x.numel(), [&](float element) { return element == value; });
}

}  // namespace

TEST_CASE("a small sum needs of another rank only that it has started") {
  Pair pair;
  conformance::Machine computer;
  Sum first(pair, 0, kSmall, 1.0F);
  CHECK(first.advance(computer.exec) == State::posted);
  Sum second(pair, 1, kSmall, 2.0F);
  CHECK(first.advance(computer.exec) == State::done);
  CHECK(all_are(first.x, 3.0F));
  CHECK(second.advance(computer.exec) == State::done);
  CHECK(all_are(second.x, 3.0F));
}

TEST_CASE("a rank keeps a large tensor until the others have read it") {
  Pair pair;
  conformance::Machine computer;
  Sum first(pair, 0, kLarge, 1.0F), second(pair, 1, kLarge, 2.0F);
  CHECK(first.advance(computer.exec) == State::summed);
  CHECK(second.advance(computer.exec) == State::taken);
  CHECK(first.advance(computer.exec) == State::done);
  CHECK(second.advance(computer.exec) == State::done);
  CHECK(all_are(first.x, 3.0F));
  CHECK(all_are(second.x, 3.0F));
}

TEST_CASE("an operation waits for its place while an older one in it is unfinished on any rank") {
  Pair pair;
  conformance::Machine computer;
  std::vector<std::unique_ptr<Sum>> sums[2];
  for (int operation = 0; operation <= SharedChannel::kWindow; ++operation) {
    for (const int rank : {0, 1}) sums[rank].push_back(std::make_unique<Sum>(pair, rank, 8, 1.0F, operation));
  }
  Sum &oldest = *sums[1].front(), &newest = *sums[0].back();
  CHECK(newest.operation.state() == State::waiting);
  sums[0].front()->advance(computer.exec);
  CHECK(newest.advance(computer.exec) == State::waiting);
  oldest.advance(computer.exec);
  CHECK(newest.advance(computer.exec) == State::posted);
}

TEST_CASE("what was read from a process that is leaving is not taken as its data") {
  Pair pair;
  conformance::Machine computer;
  Sum first(pair, 0, kLarge, 1.0F), second(pair, 1, kLarge, 2.0F);
  pair.seat(1).leave();
  CHECK(first.advance(computer.exec) == State::halted);
  CHECK(first.advance(computer.exec) == State::halted);
}

TEST_CASE("large tensors in the ranks' heaps are summed in one round, each rank's piece for both") {
  DROVER_NEEDS_SHARED_PAGES();
  Pair pair;
  conformance::Machine computer;
  Sum first(pair, 0, kLarge, 1.0F, 0, Where::heap), second(pair, 1, kLarge, 2.0F, 0, Where::heap);
  CHECK(first.advance(computer.exec) == State::taken);
  CHECK(second.x.as<float>()[0] == 3.0F);
  CHECK(second.x.as<float>()[kLarge - 1] == 2.0F);
  CHECK(second.advance(computer.exec) == State::done);
  CHECK(first.advance(computer.exec) == State::done);
  CHECK(all_are(first.x, 3.0F));
  CHECK(all_are(second.x, 3.0F));
}

TEST_CASE("a large tensor in its rank's heap is summed with one that is elsewhere") {
  DROVER_NEEDS_SHARED_PAGES();
  for (const std::int64_t n : {kStagedElsewhere, kLarge}) {
    Pair pair;
    conformance::Machine computer;
    Sum first(pair, 0, n, 1.0F, 0, Where::heap), second(pair, 1, n, 2.0F);
    CHECK(first.advance(computer.exec) == State::summed);
    second.advance(computer.exec);
    first.advance(computer.exec);
    second.advance(computer.exec);
    CHECK(first.operation.state() == State::done);
    CHECK(second.operation.state() == State::done);
    CHECK(all_are(first.x, 3.0F));
    CHECK(all_are(second.x, 3.0F));
  }
}

TEST_CASE("what was read in the heap of a process that is leaving is not taken as its data") {
  DROVER_NEEDS_SHARED_PAGES();
  Pair pair;
  conformance::Machine computer;
  Sum first(pair, 0, kLarge, 1.0F, 0, Where::heap), second(pair, 1, kLarge, 2.0F, 0, Where::heap);
  pair.seat(1).leave();
  CHECK(first.advance(computer.exec) == State::halted);
}

TEST_CASE("calls that do not match end as a mismatch on both ranks") {
  Pair pair;
  conformance::Machine computer;
  Sum first(pair, 0, kSmall, 1.0F), second(pair, 1, kSmall + 1, 2.0F);
  CHECK(first.advance(computer.exec) == State::mismatch);
  CHECK(second.advance(computer.exec) == State::mismatch);
}

TEST_CASE("without reach of each other's memory no rank has a channel") {
  Pair pair(true);
  CHECK(pair.channel(0) == nullptr);
  CHECK(pair.channel(1) == nullptr);
}
