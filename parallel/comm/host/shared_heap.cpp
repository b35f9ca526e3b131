#include "parallel/comm/host/shared_heap.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

namespace drover {

namespace {

std::int64_t whole_pages(std::int64_t bytes) {
  constexpr std::int64_t kPage = SharedMemory::kHugePage;
  return (bytes + kPage - 1) / kPage * kPage;
}

}  // namespace

std::int64_t SharedHeap::range_bytes() {
  return whole_pages(static_cast<std::int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGE_SIZE));
}

SharedHeap::SharedHeap() : memory_(SharedMemory::make(range_bytes())) {}

std::int64_t SharedHeap::offset_of(const void* data) const {
  const auto begin = reinterpret_cast<std::uintptr_t>(memory_.data());
  const std::uintptr_t offset = reinterpret_cast<std::uintptr_t>(data) - begin;
  const bool inside = offset < static_cast<std::uintptr_t>(memory_.bytes());
  return inside ? static_cast<std::int64_t>(offset) : -1;
}

// The piece in front of which the lowest gap of that size lies.
std::vector<SharedHeap::Piece>::iterator SharedHeap::gap_for(std::int64_t bytes) {
  std::int64_t end = 0;
  return std::find_if(pieces_.begin(), pieces_.end(), [&](const Piece& piece) {
    return piece.begin - std::exchange(end, piece.end) >= bytes;
  });
}

void* SharedHeap::take(std::int64_t bytes) {
  const std::lock_guard lock(mutex_);
  const std::int64_t size = whole_pages(bytes);
  const auto next = gap_for(size);
  const std::int64_t begin = next == pieces_.begin() ? 0 : std::prev(next)->end;
  if (memory_.none() || begin + size > memory_.bytes() || !memory_.take_pages(begin, size)) return nullptr;
  pieces_.insert(next, {begin, begin + size});
  return memory_.data() + begin;
}

void SharedHeap::give_back(void* data, std::int64_t bytes) noexcept {
  const std::lock_guard lock(mutex_);
  const std::int64_t begin = offset_of(data);
  memory_.drop_pages(begin, whole_pages(bytes));
  std::erase_if(pieces_, [&](const Piece& piece) { return piece.begin == begin; });
}

void* SharedHeapMemory::allocate(std::int64_t bytes) {
  void* const shared = bytes >= kLeast ? heap_.take(bytes) : nullptr;
  return shared != nullptr ? shared : private_.allocate(bytes);
}

void SharedHeapMemory::release(void* data, std::int64_t bytes) noexcept {
  if (heap_.has(data))
    heap_.give_back(data, bytes);
  else
    private_.release(data, bytes);
}

}  // namespace drover
