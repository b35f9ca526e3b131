// Who owns bytes. Memory is a device's allocator with a ledger; Buffer owns one allocation; Arena hands out
// pieces of a buffer and takes them back in reverse order. After the first step nothing allocates: everything
// below is made while a run is built, at sizes found by running the real program on shape-only tensors
// (Arena::measuring).
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "core/tensor/tensor.h"

namespace drover {

enum class MemoryCategory : std::uint8_t {
  weights,        // working copies in the compute dtype
  gradients,      // full gradients and shard accumulators
  optimizer,      // masters and moments
  saved,          // what backward needs
  scratch,        // dies inside one verb or one block
  communication,  // staging of collectives
  data,           // token batches, row tables
  staging,        // checkpoint snapshots
};
constexpr int kMemoryCategories = 8;
std::string_view name_of(MemoryCategory category);

// High-water marks of one rank, by category. Thread-safe: written by whoever makes or drops buffers.
class MemoryLedger {
 public:
  void add(MemoryCategory category, std::int64_t bytes);
  void remove(MemoryCategory category, std::int64_t bytes);
  std::int64_t current(MemoryCategory category) const;
  std::int64_t peak(MemoryCategory category) const;
  std::int64_t peak_total() const { return total_.peak.load(); }
  // How many buffers were ever made: constant from the second step on (a test counts).
  std::int64_t buffers_made() const { return made_.load(); }

 private:
  struct Level {
    std::atomic<std::int64_t> current{0}, peak{0};
    void change(std::int64_t bytes);
  };
  std::array<Level, kMemoryCategories> levels_;
  Level total_;
  std::atomic<std::int64_t> made_{0};
};

// A device's allocator. Outlives every Buffer made from it.
class Memory {
 public:
  virtual ~Memory() = default;
  virtual DeviceKind device() const = 0;
  // At least 64-byte aligned, content undefined. Throws std::bad_alloc when there is none left.
  virtual void* allocate(std::int64_t bytes) = 0;
  virtual void release(void* data, std::int64_t bytes) noexcept = 0;
  // Null pointers are all it ever hands out: tensors have shapes only.
  virtual bool shapes_only() const { return false; }

  MemoryLedger& ledger() { return ledger_; }
  const MemoryLedger& ledger() const { return ledger_; }

 private:
  MemoryLedger ledger_;
};

// Host memory; allocations of 1 MiB and more are aligned to 2 MiB and advised to be huge pages (measured: 1.3
// to 2 times the bandwidth of 4 KiB pages).
class HostMemory final : public Memory {
 public:
  DeviceKind device() const override { return DeviceKind::cpu; }
  void* allocate(std::int64_t bytes) override;
  void release(void* data, std::int64_t bytes) noexcept override;
};

// Accounts and hands out null: for dry runs and for measuring.
class ShapeMemory final : public Memory {
 public:
  explicit ShapeMemory(DeviceKind device = DeviceKind::cpu) : device_(device) {}
  DeviceKind device() const override { return device_; }
  void* allocate(std::int64_t) override { return nullptr; }
  void release(void*, std::int64_t) noexcept override {}
  bool shapes_only() const override { return true; }

 private:
  DeviceKind device_;
};

// Owns one allocation; move-only. Content is undefined. Throws Error{usage} with sizes when there is no memory left.
class Buffer {
 public:
  Buffer() = default;
  Buffer(Memory& memory, std::int64_t bytes, MemoryCategory category);
  ~Buffer() { reset(); }
  Buffer(Buffer&& other) noexcept { swap(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    swap(other);
    return *this;
  }

  void* data() const { return data_; }
  std::int64_t bytes() const { return bytes_; }
  bool empty() const { return memory_ == nullptr; }
  // A contiguous tensor over bytes [offset, ...); checked against the size.
  Tensor tensor(DType dtype, std::initializer_list<std::int64_t> dims, std::int64_t offset = 0) const;
  void reset() noexcept;

 private:
  void swap(Buffer& other) noexcept;
  Memory* memory_ = nullptr;
  void* data_ = nullptr;
  std::int64_t bytes_ = 0;
  MemoryCategory category_ = MemoryCategory::scratch;
};

// Bump allocator over memory somebody else owns. Pieces are 64-byte aligned and live until the arena is
// rewound past them; what a piece holds when it is taken is undefined. Under an address sanitizer the rest of
// host memory that an arena has is poisoned, and in builds with assertions a new piece is filled with NaN. One
// thread at a time.
class Arena {
 public:
  static constexpr std::int64_t kAlignment = 64;
  static constexpr std::int64_t aligned(std::int64_t bytes) {
    return (bytes + kAlignment - 1) / kAlignment * kAlignment;
  }

  Arena() = default;
  Arena(void* data, std::int64_t capacity, DeviceKind device);
  explicit Arena(const Buffer& buffer, DeviceKind device = DeviceKind::cpu)
      : Arena(buffer.data(), buffer.bytes(), device) {}
  // Hands out shape-only tensors without end and remembers how much it would have taken: how the sizes of
  // real arenas are found.
  static Arena measuring(DeviceKind device);

  // Throws Error{internal} with wanted and left bytes when full: arenas are sized by measuring, so that is
  // our mistake.
  Tensor take(DType dtype, std::initializer_list<std::int64_t> dims);
  std::int64_t used() const { return used_; }
  std::int64_t peak() const { return peak_; }
  std::int64_t capacity() const { return capacity_; }
  void rewind(std::int64_t used);

  // Gives back, at the end of a C++ scope, all that was taken in it.
  class Scope {
   public:
    explicit Scope(Arena& arena) : arena_(arena), used_(arena.used()) {}
    ~Scope() { arena_.rewind(used_); }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Arena& arena_;
    std::int64_t used_;
  };

 private:
  std::span<std::byte> host_bytes(std::int64_t begin, std::int64_t end) const;

  void* data_ = nullptr;
  std::int64_t capacity_ = 0, used_ = 0, peak_ = 0;
  DeviceKind device_ = DeviceKind::cpu;
};

// A fixed number of equal arenas, handed out and returned in any order: one `saved` slot per in-flight
// (chunk, microbatch), as many as the schedule's simulation says. One thread at a time.
class SlotPool {
 public:
  SlotPool() = default;
  SlotPool(Memory& memory, int slots, std::int64_t slot_bytes, MemoryCategory category);

  int slots() const { return slots_; }
  int in_use() const { return in_use_; }
  int most_in_use() const { return most_in_use_; }
  // The most any slot has held, in bytes.
  std::int64_t peak() const;
  // The slot with the lowest free number, rewound to empty. Throws Error{internal} when none is free.
  Arena* acquire();
  void release(Arena* slot);

 private:
  Buffer buffer_;
  int slots_ = 0, in_use_ = 0, most_in_use_ = 0;
  std::vector<bool> taken_;
  std::unique_ptr<Arena[]> arenas_;
};

}  // namespace drover
