#include "launch/process/process.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <vector>

#include "core/base/digest.h"
#include "core/base/printable.h"
#include "launch/process/rank_fault.h"
#include "parallel/comm/agreement.h"
#ifdef DROVER_WITH_MPI
#include "parallel/comm/mpi/mpi_comm.h"
#endif

namespace drover {

double seconds_since_1970() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::string host_name() {
  char host[256] = {};
  gethostname(host, sizeof host - 1);
  return host;
}

namespace {

// Long enough for ranks that fail for the same reason to meet, short beside what a person waits.
constexpr std::chrono::milliseconds kFailTogether{3000};

std::optional<long> number_in_environment(const char* name) {
  const char* text = std::getenv(name);
  if (text == nullptr || *text == '\0') return std::nullopt;
  char* end = nullptr;
  const long value = std::strtol(text, &end, 10);
  return *end == '\0' ? std::optional(value) : std::nullopt;
}

// What the launcher says about the job's size: the first of these that is set.
std::optional<long> ranks_launched() {
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"})
    if (const auto size = number_in_environment(name)) return size;
  return std::nullopt;
}

#ifdef DROVER_WITH_MPI
// Whether srun started this process and tells nobody of the others: its --mpi is none, the default of many clusters.
// Open MPI would end the process in MPI_Init, also where it is alone, as in a shell that srun started.
bool started_without_pmi() {
  constexpr std::array kPmi{"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK"};
  return number_in_environment("SLURM_STEP_NUM_TASKS") &&
         std::none_of(kPmi.begin(), kPmi.end(), number_in_environment);
}
#endif

#ifdef DROVER_WITH_MPI
constexpr const char* kOneJob =
    "Start them as one job, with the mpirun of the MPI that drover is linked to (drover --version) or with "
    "srun --mpi=pmix";
#else
constexpr const char* kOneJob = "This drover was built without MPI: start one process, or build it with MPI";
#endif

cpu_set_t allowed_cores() {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  sched_getaffinity(0, sizeof cores, &cores);
  return cores;
}

std::int64_t host_and_cores(const cpu_set_t& cores) {
  const std::string_view mask(reinterpret_cast<const char*>(&cores), sizeof cores);
  return static_cast<std::int64_t>(digest_of(cat(host_name(), '\n', mask)).low);
}

// Who this process is before MPI says so, as the launcher has it.
long rank_launched() {
  for (const char* name : {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID"})
    if (const auto rank = number_in_environment(name)) return *rank;
  return 0;
}

}  // namespace

struct Process::State {
  // As they were before MPI, which sets them for processes that nothing launched.
  const std::optional<long> launched_ranks = ranks_launched(), pmix_rank = number_in_environment("PMIX_RANK");
#ifdef DROVER_WITH_MPI
  std::unique_ptr<MpiProcess> mpi;
#endif
  HostMemory memory;
  std::unique_ptr<Backend> backend = make_cpu_backend(memory, {.threads = 1});
  Arena scratch;
  Exec control{.backend = *backend, .scratch = scratch};
  std::unique_ptr<Communicator> world, failing;  // failing: where ranks that fail look for each other
  int threads = 1;
  std::optional<RankFaultStrike> strike;
  std::optional<Error> wrong_fault;  // what DROVER_FAULT is instead
  PhaseClock phases;

  explicit State(Deadlines::Duration timeout);
  void read_fault();
  void start_world();
  [[noreturn]] void end_job(const Error& error) noexcept;
  std::unique_ptr<Communicator> world_with(const CommOptions& options);
  void share_cores();
};

Process::State::State(Deadlines::Duration timeout)
    : phases(Deadlines(timeout), [this](RunPhase phase) {
        if (strike) strike->phase_begins(phase);
      }) {
  read_fault();
  phases.enter(RunPhase::start);
}

void Process::State::read_fault() {
  const char* const text = std::getenv("DROVER_FAULT");
  if (text == nullptr) return;
  try {
    strike.emplace(parse_rank_fault(text), rank_launched());
  } catch (const Error& error) {
    wrong_fault = error;
  }
}

void Process::State::start_world() {
#ifdef DROVER_WITH_MPI
  if ((launched_ranks || pmix_rank) && !started_without_pmi())
    mpi = std::make_unique<MpiProcess>(nullptr, nullptr, phases.deadlines());
#endif
  phases.enter(RunPhase::build);
  world = world_with({.phases = &phases});
  failing = world_with({.deadline = kFailTogether});
}

std::unique_ptr<Communicator> Process::State::world_with([[maybe_unused]] const CommOptions& options) {
#ifdef DROVER_WITH_MPI
  if (mpi != nullptr) return mpi->world(options);
#endif
  return single_rank_world();
}

void Process::State::share_cores() {
  const cpu_set_t cores = allowed_cores();
  std::int64_t mine = host_and_cores(cores);
  // Those that may share cores; where two hosts come together by chance, the whole numbers tell them apart.
  const auto near = world->split(static_cast<int>(mine & INT_MAX), world->rank(), "cores");
  std::vector<std::int64_t> all(static_cast<std::size_t>(near->size()));
  near->all_gather(control, {.in = Tensor::of(&mine, {1}), .out = Tensor::of(all.data(), {near->size()})})
      .join();
  const auto sharing = std::count(all.begin(), all.end(), mine);
  threads = std::max(1, static_cast<int>(CPU_COUNT(&cores) / sharing));
}

// No world is there to fail together in.
void Process::State::end_job([[maybe_unused]] const Error& error) noexcept {
#ifdef DROVER_WITH_MPI
  if (mpi != nullptr) mpi->abort(cat("drover: ", error.what()), error.exit());
#endif
  std::_Exit(static_cast<int>(error.exit()));
}

Process::Process(Deadlines::Duration timeout) : state_(std::make_unique<State>(timeout)) {
  try {
    state_->start_world();
    state_->share_cores();
  } catch (const CommError& error) {
    state_->end_job(error);
  }
}

Process::~Process() = default;

PhaseClock& Process::phases() { return state_->phases; }
Communicator& Process::world() { return *state_->world; }
std::unique_ptr<Communicator> Process::world_with(std::chrono::milliseconds deadline) {
  return state_->world_with({.deadline = deadline});
}
const Exec& Process::control() const { return state_->control; }
int Process::compute_threads() const { return state_->threads; }

std::unique_ptr<Memory> Process::make_memory() {
#ifdef DROVER_WITH_MPI
  if (state_->mpi != nullptr) return state_->mpi->make_memory();
#endif
  return std::make_unique<HostMemory>();
}

void Process::require_equal_on_all_ranks(const char* what, const std::string& text) {
  const auto mine = static_cast<std::int64_t>(digest_of(text).low);
  std::int64_t lowest = mine, highest = mine;
  world().all_reduce(control(), {.x = Tensor::of(&lowest, {1}), .reduction = Reduction::min}).join();
  world().all_reduce(control(), {.x = Tensor::of(&highest, {1}), .reduction = Reduction::max}).join();
  if (lowest != highest)
    throw usage_error("the ranks do not have the same ", what,
                      " (or are not the same build of Drover): give all hosts the same files");
}

bool Process::are_independent_copies() {
  const int size = world().size();
  const auto& launched = state_->launched_ranks;
  return launched ? *launched > size : state_->pmix_rank.value_or(0) >= size;
}

void Process::refuse_wrong_fault() {
  if (state_->wrong_fault) throw *state_->wrong_fault;
}

void Process::refuse_independent_copies() {
  if (!are_independent_copies()) return;
  const auto& launched = state_->launched_ranks;
  throw usage_error("the launcher started ", launched ? cat(*launched, " processes") : "several processes",
                    ", but each sees a world of ", world().size(), ": these would be independent runs. ",
                    kOneJob);
}

bool Process::speaks() {
  if (!are_independent_copies()) return first();
  if (!state_->launched_ranks) return state_->pmix_rank == world().size();
  for (const char* name : {"OMPI_COMM_WORLD_RANK", "PMI_RANK", "SLURM_PROCID"})
    if (const auto rank = number_in_environment(name)) return *rank == 0;
  return true;
}

std::string Process::on_first_rank(const std::function<std::string()>& work) {
  std::string text;
  std::int64_t failed = 0;  // the exit code of what was thrown
  if (first()) {
    try {
      text = work();
    } catch (const Error& error) {
      failed = static_cast<std::int64_t>(error.exit());
      text = error.what();
    }
  }
  world().broadcast(control(), {.x = Tensor::of(&failed, {1})}).join();
  broadcast_text(control(), world(), text, 0);
  if (failed != 0) throw Error(static_cast<Exit>(failed), text);
  return text;
}

bool Process::fails_with(const std::string& reason, Exit exit) noexcept {
  try {
    if (exit != Exit::lost) {
      state_->failing->barrier(control()).join();
      return speaks();
    }
  } catch (const std::exception&) {
  }
  world().abort(reason, exit);
  std::_Exit(static_cast<int>(exit));
}

namespace {

// Errors quote what is in files from outside: that must neither move the cursor nor flood the screen.
std::string shown(std::string_view message) {
  constexpr std::size_t kLongest = 8000;
  const std::string text = printable_lines(std::string(message.substr(0, kLongest)), '?');
  return message.size() > kLongest ? text + "..." : text;
}

}  // namespace

Failure failure_of(const std::exception& error) {
  if (const auto* ours = dynamic_cast<const Error*>(&error)) return {ours->exit(), shown(ours->what())};
  if (dynamic_cast<const std::bad_alloc*>(&error) != nullptr)
    return {Exit::usage, "out of host memory; use more ranks or a smaller model, batch or input"};
  return {Exit::internal, shown(error.what())};
}

Exit run_as_ranks(Process& process, const std::function<Exit()>& work) {
  try {
    process.refuse_wrong_fault();
    process.refuse_independent_copies();
    return work();
  } catch (const std::exception& error) {
    const auto [exit, text] = failure_of(error);
    // Who says that a rank is lost is in the text.
    const std::string who = exit == Exit::lost ? std::string() : cat("rank ", process.world().rank(), ": ");
    if (process.fails_with(cat("drover: ", who, text), exit))
      std::fprintf(stderr, "drover: %s\n", text.c_str());
    return exit;
  }
}

}  // namespace drover
