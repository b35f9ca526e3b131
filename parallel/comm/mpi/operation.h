// What the Pendings of MpiComm refer to. Private to parallel/comm/mpi/.
#pragma once

#include <atomic>
#include <mutex>
#include <optional>
#include <vector>

#include "parallel/comm/collective.h"
#include "parallel/comm/host/shared_collective.h"
#include "parallel/comm/mpi/engine.h"
#include "parallel/comm/rank_tree.h"

namespace drover {

class MpiComm;

// One rank's part of a collective, through memory where the group has a channel, otherwise by messages. There a
// reduction is an exchange (rank r gets everybody's piece r) and an ordered local sum by a waiting thread; all_reduce
// then gathers the pieces, unless they are so small that every rank sums all of it. Small ones of large groups go
// along a tree instead (parallel/comm/rank_tree.h), whose sums waiting threads make as well.
class MpiCollective final : public Operation {
 public:
  MpiCollective(MpiComm& comm, int size) : reduction_(size), parts_(size), comm_(comm) {}

  void wait(const Exec& waiting) override;
  void join() override;
  void abandon() noexcept override;
  void release() noexcept override { in_use = false; }

  CollectiveCall call;
  std::optional<Exec> exec;  // what it was started with; split: nothing
  std::int64_t sequence = 0;
  bool in_use = false;
  MpiJob job;
  SharedCollective shared;  // the same through memory: one of the two stays idle
  // How it ended.
  MpiJob::State outcome() const;
  std::string describe() const;  // "operation 12, all_reduce of float32[8]"
  // Once nothing moves any more: ranks of the group that this one waited for, as far as that is known.
  std::vector<int> missing() const;

  // Fills the job: what must move before anything is summed. Moves the rank's own part.
  void plan(MpiEngine& engine, int rank, int size);
  // Several rounds: once one has ended, some thread of this process must call start_next_round before others' waits
  // can end. That says whether yet another one follows.
  bool has_next_round() const { return !last_round_; }
  [[nodiscard]] bool start_next_round(MpiEngine& engine, const Exec& waiting);
  // Nothing moves any more, or will.
  bool at_rest() const { return last_round_ && job.ended() && shared.ended(); }
  // After the last round: the sum, where it is this rank's own affair.
  void finish(const Exec& waiting);

 private:
  Tensor piece_of(int rank) const;  // the elements of `in` that a rank sums
  void plan_reduction(MpiEngine& engine);
  void plan_climb(MpiEngine& engine);
  bool add_hops();
  bool climb(const Exec& waiting);
  bool gather_pieces(const Exec& waiting);
  void plan_gather();
  void plan_exchange();
  void plan_broadcast();
  void transfer(MpiTransfer::Way way, int stage, int peer, const Tensor& tensor);
  Tensor result() const;
  void sum(const Exec& waiting);

  int rank_ = 0, size_ = 1;
  bool reduces_ = false, gathers_ = false;
  std::atomic<bool> last_round_{true};
  Buffer staging_;  // everybody's piece of this rank, its own excepted
  OrderedReduction reduction_;
  std::vector<Tensor> parts_;
  // Along the tree: the sums of sections that this rank makes or collects, and the first stage not yet planned.
  std::vector<Tensor> partials_;
  int next_stage_ = 0;
  MpiComm& comm_;
};

class MpiMessage final : public Operation {
 public:
  explicit MpiMessage(MpiComm& comm) : comm_(comm) {}
  void wait(const Exec& waiting) override;
  void join() override;
  void abandon() noexcept override;
  void release() noexcept override { in_use = false; }

  std::optional<Exec> exec;  // what it was started with
  void plan(const Tensor& tensor, int peer, MpiTransfer::Way way);
  std::string describe() const;  // "message 3, send of float32[8] to rank 1"
  bool at_rest() const { return job.ended(); }
  std::vector<int> missing() const { return {peer_}; }

  std::int64_t sequence = 0;
  bool in_use = false, collected = false;  // collected: in an open GroupScope
  MpiJob job;

 private:
  Tensor tensor_;
  int peer_ = 0;
  MpiTransfer::Way way_ = MpiTransfer::Way::send;
  MpiComm& comm_;
};

// What the communicators of a process share.
class MpiShared {
 public:
  MpiShared(int* argc, char*** argv, const Deadlines& deadlines);

  // Ranks may wait for operations in different orders, so whoever waits, for whatever, also does what others'
  // waits need: with its own Exec, or without one (in split) with the operation's.
  void submit(MpiCollective& operation, SharedChannel* channel);
  void advance(const Exec* waiting);
  // No operation gets on and no buffer is touched any more, here or by other processes; but a sum of what this process
  // has already posted may still be written to its heap, which is good for nothing from here on.
  void freeze(const std::string& reason) noexcept;

  MpiEngine engine;

 private:
  MpiCollective* take_ready();
  void start_next_rounds(const Exec* waiting);
  void await_round(MpiCollective& operation);
  bool advance_shared(const Exec* waiting);
  std::mutex mutex_;  // guards the list
  std::vector<MpiCollective*> awaiting_;
  std::mutex shared_mutex_;  // held while operations through memory get on; guards their list
  std::vector<MpiCollective*> moving_;
};

}  // namespace drover
