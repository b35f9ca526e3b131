#include "core/tensor/memory.h"

#include <sys/mman.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <new>
#include <utility>

namespace drover {

namespace {

constexpr std::int64_t kHugePage = 2 << 20;

// Whoever touches it before it is allowed again ends the process, under an address sanitizer.
void forbid([[maybe_unused]] std::span<std::byte> bytes) {
#ifdef __SANITIZE_ADDRESS__
  ASAN_POISON_MEMORY_REGION(bytes.data(), bytes.size());
#endif
}
void allow([[maybe_unused]] std::span<std::byte> bytes) {
#ifdef __SANITIZE_ADDRESS__
  ASAN_UNPOISON_MEMORY_REGION(bytes.data(), bytes.size());
#endif
}

// NaN in every floating dtype, in builds with assertions.
void fill_undefined([[maybe_unused]] std::span<std::byte> bytes) {
#ifndef NDEBUG
  std::fill(bytes.begin(), bytes.end(), std::byte{0xff});
#endif
}

std::int64_t round_up(std::int64_t bytes, std::int64_t unit) { return (bytes + unit - 1) / unit * unit; }

void* allocate_or_explain(Memory& memory, std::int64_t bytes) try {
  return memory.allocate(bytes);
} catch (const std::bad_alloc&) {
  throw usage_error("out of memory: wanted ", bytes, " bytes, ", memory.ledger().peak_total(),
                    " in use at the most so far; use more ranks, a smaller microbatch or recompute");
}

}  // namespace

std::string_view name_of(MemoryCategory category) {
  constexpr std::array<std::string_view, kMemoryCategories> kNames = {
      "weights", "gradients", "optimizer", "saved", "scratch", "communication", "data", "staging"};
  return kNames[static_cast<std::size_t>(category)];
}

void MemoryLedger::Level::change(std::int64_t bytes) {
  const std::int64_t now = current.fetch_add(bytes) + bytes;
  std::int64_t seen = peak.load();
  while (now > seen && !peak.compare_exchange_weak(seen, now)) {
  }
}

void MemoryLedger::add(MemoryCategory category, std::int64_t bytes) {
  levels_[static_cast<std::size_t>(category)].change(bytes);
  total_.change(bytes);
  made_.fetch_add(1);
}

void MemoryLedger::remove(MemoryCategory category, std::int64_t bytes) {
  levels_[static_cast<std::size_t>(category)].change(-bytes);
  total_.change(-bytes);
}

std::int64_t MemoryLedger::current(MemoryCategory category) const {
  return levels_[static_cast<std::size_t>(category)].current.load();
}

std::int64_t MemoryLedger::peak(MemoryCategory category) const {
  return levels_[static_cast<std::size_t>(category)].peak.load();
}

void* HostMemory::allocate(std::int64_t bytes) {
  const std::int64_t alignment = bytes >= (1 << 20) ? kHugePage : Arena::kAlignment;
  const std::int64_t size = round_up(bytes, alignment);
  void* data = std::aligned_alloc(static_cast<std::size_t>(alignment), static_cast<std::size_t>(size));
  if (data == nullptr) throw std::bad_alloc();
  // Advice only: where huge pages are off the run is slower, not wrong.
  if (alignment == kHugePage) (void)madvise(data, static_cast<std::size_t>(size), MADV_HUGEPAGE);
  return data;
}

void HostMemory::release(void* data, std::int64_t) noexcept { std::free(data); }

Buffer::Buffer(Memory& memory, std::int64_t bytes, MemoryCategory category)
    : memory_(&memory),
      data_(allocate_or_explain(memory, std::max<std::int64_t>(bytes, 1))),
      bytes_(bytes),
      category_(category) {
  memory.ledger().add(category, bytes);
  if (data_ != nullptr && memory.device() == DeviceKind::cpu)  // a former arena's, perhaps
    allow({static_cast<std::byte*>(data_), static_cast<std::size_t>(bytes)});
}

void Buffer::reset() noexcept {
  if (memory_ == nullptr) return;
  memory_->ledger().remove(category_, bytes_);
  memory_->release(data_, bytes_);
  memory_ = nullptr;
  data_ = nullptr;
  bytes_ = 0;
}

void Buffer::swap(Buffer& other) noexcept {
  std::swap(memory_, other.memory_);
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  std::swap(category_, other.category_);
}

Tensor Buffer::tensor(DType dtype, std::initializer_list<std::int64_t> dims, std::int64_t offset) const {
  void* start = data_ == nullptr ? nullptr : static_cast<std::byte*>(data_) + offset;
  const Tensor tensor =
      Tensor::of(start, dtype, dims, memory_ == nullptr ? DeviceKind::cpu : memory_->device());
  DROVER_CHECK(offset >= 0 && offset + tensor.bytes() <= bytes_, tensor.describe(), " at byte ", offset,
               " of a buffer of ", bytes_);
  return tensor;
}

Arena Arena::measuring(DeviceKind device) {
  return Arena(nullptr, std::numeric_limits<std::int64_t>::max(), device);
}

Arena::Arena(void* data, std::int64_t capacity, DeviceKind device)
    : data_(data), capacity_(capacity), device_(device) {
  forbid(host_bytes(0, capacity));
}

// None of shape-only arenas and of a GPU's.
std::span<std::byte> Arena::host_bytes(std::int64_t begin, std::int64_t end) const {
  if (data_ == nullptr || device_ != DeviceKind::cpu) return {};
  return {static_cast<std::byte*>(data_) + begin, static_cast<std::size_t>(end - begin)};
}

void Arena::rewind(std::int64_t used) {
  forbid(host_bytes(used, used_));
  used_ = used;
}

Tensor Arena::take(DType dtype, std::initializer_list<std::int64_t> dims) {
  void* start = data_ == nullptr ? nullptr : static_cast<std::byte*>(data_) + used_;
  const Tensor tensor = Tensor::of(start, dtype, dims, device_);
  const std::int64_t bytes = aligned(tensor.bytes());
  DROVER_CHECK(bytes <= capacity_ - used_, tensor.describe(), " wants ", bytes, " bytes of an arena with ",
               capacity_ - used_, " of ", capacity_, " left");
  allow(host_bytes(used_, used_ + tensor.bytes()));
  fill_undefined(host_bytes(used_, used_ + tensor.bytes()));
  used_ += bytes;
  peak_ = std::max(peak_, used_);
  return tensor;
}

SlotPool::SlotPool(Memory& memory, int slots, std::int64_t slot_bytes, MemoryCategory category)
    : buffer_(memory, slots * Arena::aligned(slot_bytes), category),
      slots_(slots),
      taken_(static_cast<std::size_t>(slots)),
      arenas_(new Arena[static_cast<std::size_t>(slots)]) {
  DROVER_CHECK(slots >= 1, slots, " slots");
  const std::int64_t size = Arena::aligned(slot_bytes);
  for (int i = 0; i < slots; ++i) {
    void* start = buffer_.data() == nullptr ? nullptr : static_cast<std::byte*>(buffer_.data()) + i * size;
    arenas_[static_cast<std::size_t>(i)] = Arena(start, size, memory.device());
  }
}

std::int64_t SlotPool::peak() const {
  std::int64_t most = 0;
  for (int i = 0; i < slots_; ++i) most = std::max(most, arenas_[static_cast<std::size_t>(i)].peak());
  return most;
}

Arena* SlotPool::acquire() {
  for (int i = 0; i < slots_; ++i) {
    if (taken_[static_cast<std::size_t>(i)]) continue;
    taken_[static_cast<std::size_t>(i)] = true;
    most_in_use_ = std::max(most_in_use_, ++in_use_);
    arenas_[static_cast<std::size_t>(i)].rewind(0);
    return &arenas_[static_cast<std::size_t>(i)];
  }
  DROVER_CHECK(false, "all ", slots_, " slots are in use");
  return nullptr;
}

void SlotPool::release(Arena* slot) {
  const std::ptrdiff_t index = slot - arenas_.get();
  DROVER_CHECK(index >= 0 && index < slots_ && taken_[static_cast<std::size_t>(index)], "slot ", index,
               " was not acquired");
  taken_[static_cast<std::size_t>(index)] = false;
  --in_use_;
}

}  // namespace drover
