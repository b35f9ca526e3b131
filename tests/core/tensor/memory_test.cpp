#include "core/tensor/memory.h"

#include <algorithm>
#include <new>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif

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

#ifndef NDEBUG
TEST_CASE("a piece of an arena holds NaN when it is taken, and again after others had it") {
  HostMemory memory;
  const Buffer buffer(memory, 256, MemoryCategory::scratch);
  Arena arena(buffer);
  for (int round = 0; round < 2; ++round) {
    const Arena::Scope scope(arena);
    const Tensor piece = arena.take(DType::float32, {3, 5});
    float* elements = piece.as<float>();
    CHECK(std::all_of(elements, elements + 15, [](float x) { return x != x; }));
    std::fill_n(elements, 15, 1.0f);
  }
}
#endif

#ifdef __SANITIZE_ADDRESS__
TEST_CASE("under an address sanitizer an arena's memory is poisoned but for the pieces that are taken") {
  HostMemory memory;
  const auto poisoned = [](const void* data, std::int64_t byte) {
    return __asan_address_is_poisoned(static_cast<const std::byte*>(data) + byte) != 0;
  };
  const Buffer buffer(memory, 256, MemoryCategory::scratch);
  Arena arena(buffer);
  CHECK(poisoned(buffer.data(), 0));
  {
    const Arena::Scope scope(arena);
    const Tensor piece = arena.take(DType::uint8, {100});
    CHECK(!poisoned(piece.data, 0));
    CHECK(!poisoned(piece.data, 99));
    CHECK(poisoned(piece.data, 100));
    CHECK(poisoned(buffer.data(), 128));
  }
  CHECK(poisoned(buffer.data(), 0));
}

TEST_CASE("a buffer of memory that was an arena's is no longer poisoned") {
  std::vector<std::byte> bytes(256);
  class Given final : public Memory {
   public:
    explicit Given(void* data) : data_(data) {}
    DeviceKind device() const override { return DeviceKind::cpu; }
    void* allocate(std::int64_t) override { return data_; }
    void release(void*, std::int64_t) noexcept override {}

   private:
    void* data_;
  } memory(bytes.data());
  { const Arena arena(Buffer(memory, 256, MemoryCategory::scratch)); }
  CHECK(__asan_address_is_poisoned(bytes.data()) != 0);
  const Buffer again(memory, 256, MemoryCategory::scratch);
  CHECK(__asan_address_is_poisoned(bytes.data()) == 0);
}
#endif
