#include "parallel/comm/host/shared_heap.h"

#include <algorithm>
#include <cstring>

#include "tests/support/shared_pages.h"

using namespace drover;

namespace {

constexpr std::int64_t kPage = SharedMemory::kHugePage;

bool all_are(const std::byte* data, std::int64_t bytes, int value) {
  return std::all_of(data, data + bytes, [&](std::byte one) { return one == std::byte(value); });
}

}  // namespace

TEST_CASE("another mapping of a heap sees what is written to its pieces") {
  DROVER_NEEDS_SHARED_PAGES();
  SharedHeap heap;
  auto* const piece = static_cast<std::byte*>(heap.take(3 * kPage - 1));
  REQUIRE(piece != nullptr);
  const SharedMemory other = SharedMemory::open(heap.memory().handle(), SharedHeap::range_bytes());
  std::memset(piece, 7, 3 * kPage);
  CHECK(all_are(other.data() + heap.offset_of(piece), 3 * kPage, 7));
  other.data()[heap.offset_of(piece) + 5] = std::byte{9};
  CHECK(piece[5] == std::byte{9});
}

TEST_CASE("pieces of a heap do not overlap, and what is given back is taken again, as zeros") {
  DROVER_NEEDS_SHARED_PAGES();
  SharedHeap heap;
  void* const first = heap.take(kPage);
  void* const second = heap.take(2 * kPage);
  void* const third = heap.take(1);
  CHECK(heap.offset_of(first) == 0);
  CHECK(heap.offset_of(second) == kPage);
  CHECK(heap.offset_of(third) == 3 * kPage);
  std::memset(second, 1, 2 * kPage);
  heap.give_back(second, 2 * kPage);
  CHECK(heap.offset_of(heap.take(3 * kPage)) == 4 * kPage);
  void* const again = heap.take(2 * kPage);
  CHECK(again == second);
  CHECK(all_are(static_cast<std::byte*>(again), 2 * kPage, 0));
}

TEST_CASE("small allocations are not of the heap, nor what is larger than the host's memory") {
  DROVER_NEEDS_SHARED_PAGES();
  SharedHeap heap;
  SharedHeapMemory memory(heap);
  const Buffer small(memory, SharedHeapMemory::kLeast - 1, MemoryCategory::scratch);
  const Buffer large(memory, SharedHeapMemory::kLeast, MemoryCategory::scratch);
  CHECK_FALSE(heap.has(small.data()));
  CHECK(heap.has(large.data()));
  CHECK(heap.take(SharedHeap::range_bytes()) == nullptr);
  CHECK(memory.ledger().peak_total() == 2 * SharedHeapMemory::kLeast - 1);
}
