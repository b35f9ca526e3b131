#include "core/tensor/memory.h"

#include <new>

#include "tests/support/test_support.h"

using namespace drover;

namespace {

// Has none left for a second buffer.
class OneBuffer final : public Memory {
 public:
  DeviceKind device() const override { return DeviceKind::cpu; }
  void* allocate(std::int64_t bytes) override {
    if (ledger().buffers_made() > 0) throw std::bad_alloc();
    return memory_.allocate(bytes);
  }
  void release(void* data, std::int64_t bytes) noexcept override { memory_.release(data, bytes); }

 private:
  HostMemory memory_;
};

}  // namespace

TEST_CASE("without memory left a buffer says what it wanted and what is in use, and counts as nothing") {
  OneBuffer memory;
  const Buffer first(memory, 1000, MemoryCategory::weights);
  CHECK_THROWS_WITH(Buffer(memory, 250, MemoryCategory::scratch),
                    Catch::Contains("wanted 250 bytes") && Catch::Contains("1000 in use"));
  CHECK(memory.ledger().current(MemoryCategory::scratch) == 0);
  CHECK(memory.ledger().buffers_made() == 1);
}

TEST_CASE("a pool has as many slots as were asked for and hands out the lowest free one") {
  ShapeMemory memory;
  SlotPool pool(memory, 5000, 8, MemoryCategory::saved);
  std::vector<Arena*> slots;
  for (int i = 0; i < 5000; ++i) slots.push_back(pool.acquire());
  CHECK(pool.most_in_use() == 5000);
  CHECK_THROWS_WITH(pool.acquire(), Catch::Contains("all 5000 slots are in use"));
  pool.release(slots[4000]);
  pool.release(slots[17]);
  CHECK(pool.acquire() == slots[17]);
  CHECK(pool.acquire() == slots[4000]);
}
