// This process among the ranks of its run: how it was started, the world of ranks, and its share of the host.
// The environment is read here and nowhere below (docs/design.md, "a rank is an argument").
#pragma once

#include <chrono>
#include <exception>
#include <functional>
#include <memory>
#include <string>

#include "core/cpu/cpu_backend.h"
#include "parallel/comm/local/local_comm.h"

namespace drover {

std::string host_name();
double seconds_since_1970();

class Process {
 public:
  // Under mpirun or srun every rank of the job; otherwise a world of one rank, without starting MPI. `timeout`: the
  // run's launch.timeout. Ends the whole job, with a message, when ranks are lost or do not come meanwhile.
  explicit Process(Deadlines::Duration timeout = Deadlines::kTimeout);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  // What the world, and what is split from it, waits with: whoever drives a run tells it of phases.
  PhaseClock& phases();
  Communicator& world();
  // The world once more, with a deadline of its own. Collective; destroyed before the process.
  std::unique_ptr<Communicator> world_with(std::chrono::milliseconds deadline);
  bool first() { return world().rank() == 0; }
  // For messages of the control plane; one thread, no scratch.
  const Exec& control() const;
  // The cores this rank may use: those the launcher bound it to, else all, divided among the ranks that share
  // them.
  int compute_threads() const;

  // For what this rank computes with and sends to others; with a ledger of its own. Destroyed before the process.
  std::unique_ptr<Memory> make_memory();

  // Runs `work` on rank 0 and gives every rank what it returned, or the Error it threw. Collective.
  std::string on_first_rank(const std::function<std::string()>& work);

  // Error{usage} on all ranks when the text differs between them: each host may have read a file of its own.
  void require_equal_on_all_ranks(const char* what, const std::string& text);

  // Error{usage} when the launcher started more processes than MPI sees.
  void refuse_independent_copies();
  // Error{usage} when DROVER_FAULT (launch/process/rank_fault.h) is no fault.
  void refuse_wrong_fault();
  // Rank 0; of independent copies, which all believe to be that, the launcher's first, or, where the launcher does not
  // say how many there are, the first that can know.
  bool speaks();

  // For a rank that an exception is ending. When all ranks arrive here within a few seconds, they fail
  // together: returns whether this rank should print, and all may leave with the code. Otherwise, and at once where
  // ranks are lost, ends the whole job with the reason and the code, and does not return.
  bool fails_with(const std::string& reason, Exit exit) noexcept;

 private:
  bool are_independent_copies();

  struct State;
  std::unique_ptr<State> state_;
};

// What an exception that ends a process stands for: the exit code, and what is said of it, printable.
struct Failure {
  Exit exit = Exit::internal;
  std::string text;
};
Failure failure_of(const std::exception& error);

// Runs `work`, unless the launcher started more processes than MPI sees: these would be as many independent
// runs, which is Error{usage}. What it throws ends this rank, or the job, as fails_with says. The text of the
// error is the last thing that is printed.
Exit run_as_ranks(Process& process, const std::function<Exit()>& work);

}  // namespace drover
