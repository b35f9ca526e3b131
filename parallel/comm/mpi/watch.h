// Whether the processes of a job are still there. They stand in a ring, in the order of their ranks: each tells the
// one before it, about once a second, that it lives, and listens to the one behind it. Whoever hears nothing for
// Deadlines::silence() has found a lost process: one that was stopped or killed, or whose host is cut off. Its rank
// goes to those 1, 2, 4, 8 ... places before and behind in the ring, each of which passes it on likewise, so that all
// know soon, also on the two sides of a cable that was cut.
// A process that computes or writes for long is heard meanwhile, since its progress thread tells. So a loss has a name,
// is found in the same time in every phase and on any number of ranks, and costs each rank one small message a second.
// Private to parallel/comm/mpi/.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "core/base/function_ref.h"
#include "parallel/comm/deadlines.h"

namespace drover {

// Calls are of the progress thread, but for those that say otherwise.
class MpiWatch {
 public:
  using Clock = std::chrono::steady_clock;

  explicit MpiWatch(Deadlines::Duration silence);
  ~MpiWatch();
  MpiWatch(const MpiWatch&) = delete;
  MpiWatch& operator=(const MpiWatch&) = delete;

  enum class Ring : std::uint8_t { watched, left_alone };
  // Collective, blocking: once MPI has started. Left alone, nobody is lost and only hosts are known.
  void start(Ring ring);
  // look() is to be called about so often; more often is of no use.
  Deadlines::Duration interval() const { return interval_ / 4; }
  void look(Clock::time_point now);
  // Before MPI's end: tells the one before that no more will come, and returns when the one behind has told so, when
  // it is lost, or when `stop` says so.
  void leave(FunctionRef<bool()> stop);

  // Any thread. The rank of the lost process; -1: none. Once found it stays.
  int lost() const { return lost_.load(); }
  // Any thread. This process: "rank 3 on host a"; before start has returned, "a rank on host a".
  std::string here() const;
  // Any thread, after start. Of all ranks.
  const std::vector<std::string>& hosts() const { return hosts_; }
  // Any thread: "lost rank 2 on host b: nothing was heard of it for 6 s".
  std::string lost_text() const;

 private:
  struct Messages;
  void gather_hosts();
  void listen();
  void hear(Clock::time_point now);
  void hear_news();
  void find_lost(int rank);
  void pass_on(int to);
  void tell(Clock::time_point now, bool last);

  Deadlines::Duration silence_, interval_;  // interval_: between two signs of life
  std::unique_ptr<Messages> messages_;      // none: left alone
  std::vector<std::string> hosts_;
  std::string host_;
  std::atomic<int> rank_{-1};
  int size_ = 1;
  bool behind_left_ = false, told_last_ = false;
  Clock::time_point looked_, heard_, told_;
  std::atomic<int> lost_{-1};
};

}  // namespace drover
