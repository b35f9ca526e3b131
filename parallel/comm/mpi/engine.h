// The progress thread of a process: the only thread that calls MPI. Open MPI 4 moves nothing between calls,
// so without it a started collective would wait for its wait. Nobody waits for it, or through it for other ranks,
// without a limit. Private to parallel/comm/mpi/.
#pragma once

#include <array>
#include <atomic>
#include <exception>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "core/base/function_ref.h"
#include "core/tensor/memory.h"
#include "parallel/comm/collective.h"
#include "parallel/comm/host/doorbell.h"
#include "parallel/comm/host/shared_channel.h"
#include "parallel/comm/mpi/mpi_comm.h"
#include "parallel/comm/mpi/watch.h"

namespace drover {

// The MPI communicators of one group: one for collectives, one for messages, so that neither takes the
// other's.
struct MpiContext;
struct MpiRequests;

struct MpiTransfer {
  enum class Way : std::uint8_t { send, receive };
  Way way;
  std::uint8_t stage;  // those of stage 1 start when all of stage 0 are done
  int peer;
  void* data;
  std::int64_t bytes;  // a receive of any other length is a mismatch
};

// What the progress thread does for an operation: agree on the header if there is one, then move the
// transfers. The caller fills it, submits it, and touches it again once it has ended. Operations keep theirs
// and submit it again.
class MpiJob {
 public:
  enum class Kind : std::uint8_t { collective, message };
  enum class State : std::uint8_t { idle, running, mismatch, failed, done };

  MpiJob();
  ~MpiJob();
  MpiJob(const MpiJob&) = delete;
  MpiJob& operator=(const MpiJob&) = delete;

  State state() const { return state_.load(); }
  bool ended() const { return state() != State::running; }  // or was never submitted
  // After State::failed: what went wrong, and Exit::lost where another process is the cause.
  const std::string& error() const { return error_; }
  Exit exit() const { return exit_; }
  // After MpiEngine::freeze: ranks of the group whose part has not come or was not taken, as far as that is known.
  const std::set<int>& unfinished() const { return unfinished_; }

  Kind kind = Kind::collective;
  MpiContext* context = nullptr;
  int tag = 0;  // collective: the operation's number, folded; message: what is sent
  bool has_header = false;
  CallHeader header{};
  std::vector<MpiTransfer> transfers;

 private:
  friend class MpiEngine;
  std::atomic<State> state_{State::idle};
  std::string error_;
  Exit exit_ = Exit::internal;
  std::set<int> unfinished_;
  int phase_ = 0;
  CallHeader header_sum_{};
  std::unique_ptr<MpiRequests> requests_;
};

class MpiEngine {
 public:
  static constexpr std::size_t kJobsExpected = 256;  // in flight at once; more are fine, but allocate

  MpiEngine(int* argc, char*** argv, const Deadlines& deadlines);
  ~MpiEngine();
  MpiEngine(const MpiEngine&) = delete;
  MpiEngine& operator=(const MpiEngine&) = delete;

  // From any thread; MPI sees jobs in the order of submission.
  void submit(MpiJob& job);
  // Rings whenever a job has ended, or something has happened in a channel.
  Doorbell& bell() { return seat_.bell(); }
  // How long to spin: not at all where ranks outnumber the host's cores.
  Doorbell::Patience patience() const { return patience_; }
  // What the other processes of the host can map.
  SharedHeap& heap() { return seat_.heap(); }
  // For staging of collectives.
  HostMemory& memory() { return memory_; }

  // Collective, blocking: for start-up, when nothing is in flight that the others wait for. split gives null
  // for a negative color.
  std::unique_ptr<MpiContext, void (*)(MpiContext*)> world_context(HostPath path);
  std::unique_ptr<MpiContext, void (*)(MpiContext*)> split_context(const MpiContext& parent, int color,
                                                                   int key, HostPath path);
  void free_context(MpiContext* context) noexcept;
  static int rank_of(const MpiContext& context);
  static int size_of(const MpiContext& context);
  static SharedChannel* channel_of(const MpiContext& context);  // null when the group has none
  static int world_rank_of(const MpiContext& context, int rank);

  // Which processes live, and where they run.
  const MpiWatch& watch() const { return watch_; }
  int world_rank() const { return world_rank_; }

  // Blocks until happened() is true, for whose sake somebody rings the bell; false when that takes longer.
  template <class Happened>
  bool await(Deadlines::Duration limit, Happened happened);

  // No MPI call is made any more and no buffer touched; only abort remains. For a process that an exception
  // is ending. Where the progress thread hangs inside MPI, this ends the job with the reason instead of returning.
  void freeze(const std::string& reason) noexcept;
  bool frozen() const { return frozen_; }
  // Prints the reason, unless another process of this host has printed its own, and ends the job with the exit code;
  // on ranks other than 0 a moment later. Ends this process in any case. Does not return.
  [[noreturn]] void abort(const std::string& reason, Exit exit) noexcept;

 private:
  struct Call;
  enum class Stage : std::uint8_t { starting, serving, finalizing, ended };
  void live(int* argc, char*** argv);
  void move_to(Stage stage);
  void start_mpi(int* argc, char*** argv);
  void end_mpi() noexcept;
  void serve();
  void look();
  void note_unfinished();
  bool take_submissions();
  void run_calls();
  bool advance_all();
  void post(MpiJob& job);
  void post_header(MpiJob& job);
  void post_transfers(MpiJob& job, int stage);
  bool advance(MpiJob& job);
  void end(MpiJob& job, MpiJob::State state, std::string error = {}, Exit exit = Exit::internal);
  void meet(const MpiContext& parent);
  void call(const char* what, FunctionRef<void()> work);
  void connect(MpiContext& context);
  void rest(int idle_passes, std::uint32_t seen);

  const Deadlines deadlines_;
  MpiWatch watch_;
  HostMemory memory_;
  Doorbell engine_bell_;
  SharedSeat seat_;
  std::atomic<Doorbell::Patience> patience_{Doorbell::Patience::spin};
  std::mutex mutex_;  // guards the next two
  std::vector<MpiJob*> submitted_;
  std::vector<Call*> calls_;
  std::vector<MpiJob*> taken_, active_;  // the progress thread's
  std::atomic<bool> stop_{false}, frozen_{false}, freeze_seen_{false}, abort_{false};
  std::atomic<Exit> abort_exit_{Exit::internal};
  std::atomic<Stage> stage_{Stage::starting};
  std::exception_ptr start_failure_;
  bool owns_mpi_ = true;
  int world_rank_ = 0;
  std::chrono::steady_clock::time_point idle_since_;  // the progress thread's
  std::thread thread_;
};

template <class Happened>
bool MpiEngine::await(Deadlines::Duration limit, Happened happened) {
  const auto end = std::chrono::steady_clock::now() + limit;
  for (;;) {
    const std::uint32_t seen = bell().read();
    if (happened()) return true;
    const auto left = std::chrono::ceil<std::chrono::microseconds>(end - std::chrono::steady_clock::now());
    if (left.count() <= 0) return false;
    bell().wait(seen, std::min<std::chrono::microseconds>(left, std::chrono::seconds(1)), patience());
  }
}

}  // namespace drover
