// What the ranks of a group tell each other when all are processes of one host: for each collective in flight
// a post of every rank, and room to stage what the others shall read. A rank's data is either staged, where
// the rank need not wait for its readers, or stays where it is: in the rank's heap, which the others have mapped,
// or in its own memory, from which the system reads for them.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <vector>

#include "core/base/function_ref.h"
#include "core/tensor/memory.h"
#include "parallel/comm/collective.h"
#include "parallel/comm/host/doorbell.h"
#include "parallel/comm/host/shared_heap.h"
#include "parallel/comm/host/shared_memory.h"

namespace drover {

// A process's place among the processes of its host: how to wake it, whether it is leaving, and its heap. One per
// process; in its own memory where the system shares none.
class SharedSeat {
 public:
  static constexpr std::int64_t kBytes = 4096;
  struct State {
    alignas(64) Doorbell bell;
    alignas(64) std::atomic<std::uint32_t> leaving{0};
  };

  SharedSeat();
  Doorbell& bell() { return state_->bell; }
  // From here on the others take nothing from this process's memory as valid.
  void leave() noexcept { state_->leaving.store(1); }
  const SharedMemory& memory() const { return memory_; }
  SharedHeap& heap() { return heap_; }
  // Where another process's heap is mapped here, once for all channels; null when it cannot be had.
  std::byte* map_heap(const SharedMemory::Handle& heap);
  std::uint64_t probe() const { return probe_; }
  const std::uint64_t* probe_address() const { return &probe_; }

 private:
  struct MappedHeap {
    SharedMemory::Handle handle;
    SharedMemory memory;
  };
  SharedMemory memory_;
  std::unique_ptr<State> own_;
  State* state_ = nullptr;
  SharedHeap heap_;
  std::vector<MappedHeap> mapped_;
  std::uint64_t probe_;  // random: who reads it at this address of this process is on this host
};

// Every call but connect is of the thread that makes progress (one at a time). Operations have the numbers 0,
// 1, 2 ... on all ranks alike.
class SharedChannel {
 public:
  static constexpr int kWindow = 16;  // operations between the oldest unfinished and the newest
  static constexpr std::int64_t kStaging = 2 << 20;       // bytes per rank
  static constexpr std::int64_t kReadAtOnce = 128 << 10;  // bytes per rank that stay in a core's cache

  // mine: bytes; all: size * bytes, in rank order
  using Gather = FunctionRef<void(const void* mine, void* all, std::size_t bytes)>;
  // Collective. Null on all ranks when any two cannot reach each other's memory.
  static std::unique_ptr<SharedChannel> connect(int rank, int size, SharedSeat& seat, HostMemory& memory,
                                                Gather gather);

  int rank() const { return rank_; }
  int size() const { return size_; }

  // Whether the rank may post the operation: all ranks are done with the one whose place it takes.
  bool is_free(std::int64_t sequence) const { return sequence < kWindow || all_finished(sequence - kWindow); }
  // Room for the operation's data, to be copied from `source`, until all ranks have finished it; null when there
  // is none now. Once per operation, before it is posted.
  std::byte* stage(std::int64_t sequence, std::int64_t bytes, const void* source);
  // Where what is not staged lies: `in`, and its parts' offsets
  struct Place {
    const void* data = nullptr;
    const std::int64_t* offsets = nullptr;
  };
  void post(std::int64_t sequence, const CallHeader& header, const Place& place);
  bool all_posted(std::int64_t sequence) const;
  bool calls_agree(std::int64_t sequence) const;
  void set_reduced(std::int64_t sequence);
  bool all_reduced(std::int64_t sequence) const;
  void set_finished(std::int64_t sequence);
  bool all_finished(std::int64_t sequence) const;
  enum class Step : std::uint8_t { posted, reduced, finished };
  // Ranks of the group that have not come so far with the operation.
  std::vector<int> not_yet(Step step, std::int64_t sequence) const;

  // Bytes [offset, offset + bytes) of a rank's data; once all have posted. Null when they are not staged.
  const std::byte* staged(int rank, std::int64_t sequence, std::int64_t offset) const;
  // The same in the rank's heap. Null when they are not in it, or when any two ranks cannot map each other's heap.
  std::byte* in_heap(int rank, std::int64_t sequence, std::int64_t offset) const;
  bool has_in_heap(const void* data) const { return heaps_ && seat_.heap().has(data); }
  // Every rank's data is in its heap and not staged. All ranks find the same.
  bool all_in_heaps(std::int64_t sequence) const;
  // Asked after reading in heaps: false when a rank that has not staged is leaving, for its buffers live until then.
  bool unstaged_stay(std::int64_t sequence) const;
  // The same bytes, copied. False when that process is leaving or gone, and with it all ranks soon.
  bool copy(int rank, std::int64_t sequence, std::int64_t offset, std::int64_t bytes, void* to) const;
  // The same from the place where the rank's data lies, though it may be staged too.
  bool copy_unstaged(int rank, std::int64_t sequence, std::int64_t offset, std::int64_t bytes,
                     void* to) const;
  // offsets[index] of a rank that has not staged.
  bool copy_offset(int rank, std::int64_t sequence, int index, std::int64_t& offset) const;

  // For the one who makes progress.
  std::byte* scratch(int rank) const { return static_cast<std::byte*>(scratch_.data()) + rank * kReadAtOnce; }
  std::vector<Tensor>& parts() { return parts_; }    // one for each rank
  std::vector<Tensor>& copies() { return copies_; }  // one for each other rank
  OrderedReduction& reduction() { return reduction_; }

 private:
  using Number = std::atomic<std::uint64_t>;  // of an operation, + 1
  struct alignas(128) Post {
    Number posted{0}, reduced{0}, finished{0};
    CallHeader header{};
    std::uint64_t data = 0, offsets = 0;
    std::int64_t staged = -1;  // offset in the rank's staging
    std::int64_t heap = -1;    // of `data` in the rank's heap
  };
  struct Peer {
    std::int32_t process = 0;
    SharedMemory seat_memory;
    SharedSeat::State* seat = nullptr;
    std::byte* heap = nullptr;
  };
  struct Staged {
    std::int64_t sequence = -1, begin = 0, end = 0, data = 0;
  };
  struct Introduction;
  enum class Reach : char;

  SharedChannel(int rank, int size, SharedSeat& seat, HostMemory& memory);
  static std::int64_t posts_bytes(int size);
  static std::int64_t bytes_for(int size);
  Reach reach(const std::vector<Introduction>& all);
  bool reach_seats(const std::vector<Introduction>& all);
  Post& post_of(int rank, std::int64_t sequence) const;
  std::byte* staging_of(int rank) const;
  bool has(int rank, Number Post::*number, std::int64_t sequence) const;
  bool all_have(Number Post::*number, std::int64_t sequence) const;
  void tell(Number Post::*number, std::int64_t sequence);
  bool is_leaving(int rank) const;
  bool read(int rank, std::uint64_t address, std::int64_t bytes, void* to) const;

  int rank_, size_;
  SharedSeat& seat_;
  bool heaps_ = false;  // all ranks have mapped all heaps
  SharedMemory memory_;
  std::vector<Peer> peers_;
  std::array<Staged, kWindow> staged_;
  Buffer scratch_;
  std::vector<Tensor> parts_, copies_;
  OrderedReduction reduction_;
};

}  // namespace drover
