// Collectives and point-to-point messages between the ranks of a group. A rank is an argument: eight ranks
// may be threads of one process (LocalComm), processes (MpiComm) or GPUs (NcclComm), behind the same verbs
// with the same results.
//
// Rules, for every implementation (one conformance test body runs on all):
//   - every rank of the group starts the same collectives in the same order with the same sizes, dtypes and
//     reductions; a mismatch is a CommError on every rank, not a hang;
//   - each start takes the Exec it must follow and returns a Pending; buffers belong to the operation until it is
//     waited for: what it writes nobody may touch, what it reads nobody may write. operands() says which is which
//     (core/ops/operand.h);
//   - tensors are contiguous; they count in elements and any dtype may travel; reductions take float64, float32,
//     bfloat16, int64;
//   - a reduction adds in an order that is a function of the group's size alone: rank order up to 64 ranks, above
//     that within sections of 64 ranks and then over the sections, in rank order. bfloat16 sums in float32 and rounds
//     once. So the result is the same bits on every rank and in every implementation;
//   - sends and receives carry no tags: they match in issue order per pair of ranks and communicator. They
//     rendezvous: a send may only complete once its receive has started (what runs here cannot deadlock on NCCL);
//     those started inside one group() progress together;
//   - a group of one rank obeys the same verbs;
//   - one thread per rank uses a communicator at a time. Starting an operation allocates nothing after the first few.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/ops/backend.h"
#include "parallel/comm/pending.h"

namespace drover {

// Ranks were lost or do not come (Exit::lost), or the ranks' calls do not match (Exit::internal). The communicator
// is unusable afterwards.
class CommError : public Error {
 public:
  CommError(const std::string& message, std::int64_t sequence)
      : CommError(Exit::internal, message, sequence) {}
  CommError(Exit exit, const std::string& message, std::int64_t sequence, std::vector<int> peers = {})
      : Error(exit, message), sequence_(sequence), peers_(std::move(peers)) {}
  std::int64_t sequence() const { return sequence_; }  // number of the operation on this communicator, from 0
  // Ranks of the world that were lost or did not come, as far as they are known.
  const std::vector<int>& peers() const { return peers_; }

 private:
  std::int64_t sequence_;
  std::vector<int> peers_;
};

// x[n], in place
struct AllReduce {
  Tensor x;
  Reduction reduction = Reduction::sum;
  auto operands() const { return std::array{updates("x", x)}; }
};
// in[n], out[size * n] in rank order; in may be out's own part
struct AllGather {
  Tensor in, out;
  auto operands() const { return std::array{reads("in", in), assigns("out", out)}; }
};
// counts[r] elements from rank r
struct AllGatherV {
  Tensor in, out;
  std::span<const std::int64_t> counts;
  auto operands() const { return std::array{reads("in", in), assigns("out", out)}; }
};
// in[size * n], out[n]; out may be in's own part
struct ReduceScatter {
  Tensor in, out;
  Reduction reduction = Reduction::sum;
  auto operands() const { return std::array{reads("in", in), assigns("out", out)}; }
};
// counts[r] elements to rank r
struct ReduceScatterV {
  Tensor in, out;
  std::span<const std::int64_t> counts;
  Reduction reduction = Reduction::sum;
  auto operands() const { return std::array{reads("in", in), assigns("out", out)}; }
};
// [size * n] each: part r goes to rank r
struct AllToAll {
  Tensor in, out;
  auto operands() const { return std::array{reads("in", in), assigns("out", out)}; }
};
struct AllToAllV {
  Tensor in, out;
  std::span<const std::int64_t> send_counts, recv_counts;
  auto operands() const { return std::array{reads("in", in), assigns("out", out)}; }
};
struct Broadcast {
  Tensor x;
  int root = 0;
  auto operands(int rank) const { return std::array{rank == root ? reads("x", x) : assigns("x", x)}; }
};

class Communicator {
 public:
  virtual ~Communicator() = default;

  virtual int rank() const = 0;
  virtual int size() const = 0;
  // For messages: "world", "shard", "replicate" ...
  virtual const std::string& name() const = 0;

  virtual Pending all_reduce(const Exec&, const AllReduce&) = 0;
  virtual Pending all_gather(const Exec&, const AllGather&) = 0;
  virtual Pending all_gather_v(const Exec&, const AllGatherV&) = 0;
  virtual Pending reduce_scatter(const Exec&, const ReduceScatter&) = 0;
  virtual Pending reduce_scatter_v(const Exec&, const ReduceScatterV&) = 0;
  virtual Pending all_to_all(const Exec&, const AllToAll&) = 0;
  virtual Pending all_to_all_v(const Exec&, const AllToAllV&) = 0;
  virtual Pending broadcast(const Exec&, const Broadcast&) = 0;
  virtual Pending send(const Exec&, const Tensor& x, int peer) = 0;
  virtual Pending recv(const Exec&, const Tensor& x, int peer) = 0;
  virtual Pending barrier(const Exec&) = 0;

  // Between the two, sends and receives are collected, and progress together from end_group on. Use
  // GroupScope.
  virtual void begin_group() = 0;
  virtual void end_group() = 0;

  // Collective: ranks with the same color form a group, ordered by (key, rank). A negative color takes no
  // part (null).
  virtual std::unique_ptr<Communicator> split(int color, int key, std::string name) = 0;

  // Ends all ranks of the world with this reason; what is blocked in an operation throws CommError, or the
  // process ends, where ranks are processes with this exit code.
  virtual void abort(const std::string& reason, Exit exit = Exit::internal) noexcept = 0;
};

class GroupScope {
 public:
  explicit GroupScope(Communicator& communicator) : communicator_(communicator) {
    communicator_.begin_group();
  }
  ~GroupScope() noexcept(false) { communicator_.end_group(); }
  GroupScope(const GroupScope&) = delete;
  GroupScope& operator=(const GroupScope&) = delete;

 private:
  Communicator& communicator_;
};

}  // namespace drover
