// A group of LocalComm ranks: the collectives in flight, and the messages that wait for their other end.
// Private to parallel/comm/local/.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "parallel/comm/local/cell.h"

namespace drover {

// One end of a point-to-point message: what its Pending refers to. Owned by the rank's communicator.
class LocalMessage final : public Operation {
 public:
  // collected: in an open GroupScope. posted: in the mailbox. moving: found its other end, which copies.
  enum class State : std::uint8_t { free, collected, posted, moving, done, mismatch };

  void wait(const Exec& exec) override;
  void join() override;
  void abandon() noexcept override;
  void release() noexcept override { state = State::free; }

  LocalComm* comm = nullptr;
  Tensor tensor;
  int source = 0, destination = 0;
  bool sends = false;
  std::int64_t sequence = 0;
  std::string mismatch;
  std::atomic<State> state{State::free};
  LocalMessage* next = nullptr;  // in the mailbox

  int peer() const { return sends ? destination : source; }
  std::string describe() const;
};

// Messages to one rank that lack their other end, in issue order. Of a pair of ranks only sends or only
// receives are here.
class LocalMailbox {
 public:
  // Copies when the other end is here; otherwise the message stays until it comes.
  void post(LocalMessage& message);
  // Takes a posted message back; when its other end is just copying, waits for that.
  void withdraw(LocalMessage& message) noexcept;

 private:
  LocalMessage* take_other_end(const LocalMessage& message);
  std::mutex mutex_;
  LocalMessage* first_ = nullptr;
};

class LocalGroup {
 public:
  LocalGroup(std::shared_ptr<LocalWorld> world, std::vector<int> members);

  LocalWorld& world() { return *world_; }
  int size() const { return static_cast<int>(members_.size()); }
  int world_rank(int rank) const { return members_[rank]; }
  LocalMailbox& mailbox(int rank) { return mailboxes_[rank]; }

  // The cell of a collective; every rank that is about to start it gets the same one. `in_flight`: how many
  // this rank will then have started and not released; the cells are made when it first has that many.
  LocalCell& cell(std::int64_t sequence, int in_flight);
  // The rank is done with the cell; after the last one it serves another collective.
  void release(LocalCell& cell);
  // Gives every rank of a split its group and its rank there.
  void regroup(LocalCell& cell) const;

  // A mismatch makes the group unusable, not the world.
  void set_broken() { broken_ = true; }
  bool broken() const { return broken_; }

 private:
  void make_cells(int in_flight);

  std::shared_ptr<LocalWorld> world_;
  std::vector<int> members_;
  std::unique_ptr<LocalMailbox[]> mailboxes_;
  std::atomic<bool> broken_{false};
  std::mutex mutex_;                               // guards what follows
  std::vector<std::unique_ptr<LocalCell>> cells_;  // all there are
  std::vector<LocalCell*> free_, live_;            // live_: a few, found by sequence
};

}  // namespace drover
