// Large allocations of a process that the other processes of its host can map and so read, and write, in place:
// pieces of one range, most of which is addresses only. Made of huge pages or not at all, for these matter more to
// computing than a copy between processes.
#pragma once

#include <mutex>
#include <vector>

#include "core/tensor/memory.h"
#include "parallel/comm/host/shared_memory.h"

namespace drover {

// One per process. Any thread.
class SharedHeap {
 public:
  // As large a range as the host has memory: equal in all processes of a host.
  static std::int64_t range_bytes();

  SharedHeap();
  // Whole huge pages, content undefined. Null when there are none, or the system shares no memory.
  void* take(std::int64_t bytes);
  void give_back(void* data, std::int64_t bytes) noexcept;
  // Whether it came from take().
  bool has(const void* data) const { return offset_of(data) >= 0; }
  // From the beginning of the range, -1 for data elsewhere.
  std::int64_t offset_of(const void* data) const;
  const SharedMemory& memory() const { return memory_; }

 private:
  struct Piece {
    std::int64_t begin, end;
  };
  std::vector<Piece>::iterator gap_for(std::int64_t bytes);
  std::mutex mutex_;
  SharedMemory memory_;
  std::vector<Piece> pieces_;  // taken, in order
};

// Host memory whose large allocations are pieces of a heap, while that has some.
class SharedHeapMemory final : public Memory {
 public:
  static constexpr std::int64_t kLeast = 1 << 20;  // bytes; smaller ones share pages with others

  explicit SharedHeapMemory(SharedHeap& heap) : heap_(heap) {}
  DeviceKind device() const override { return DeviceKind::cpu; }
  void* allocate(std::int64_t bytes) override;
  void release(void* data, std::int64_t bytes) noexcept override;

 private:
  SharedHeap& heap_;
  HostMemory private_;
};

}  // namespace drover
