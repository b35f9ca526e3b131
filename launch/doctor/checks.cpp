#include "launch/doctor/checks.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/base/error.h"
#include "launch/doctor/slurm.h"

namespace drover {

namespace {

using Findings = std::vector<Finding>;
constexpr double kMiB = 1 << 20, kGiB = 1 << 30;

// Above this many, hosts are counted and not named.
constexpr std::size_t kMostNamedHosts = 16;

Finding good(const char* topic, std::string text) { return {.topic = topic, .text = std::move(text)}; }
Finding bad(const char* topic, Health health, std::string text, std::string remedy) {
  return {.topic = topic, .health = health, .text = std::move(text), .remedy = std::move(remedy)};
}
Finding bytes(Finding finding, std::int64_t count) {
  const auto size = static_cast<double>(count);
  finding.measured = {.unit = Measured::Unit::bytes, .least = size, .most = size};
  return finding;
}
Finding seconds(Finding finding, double time) {
  finding.measured = {.unit = Measured::Unit::seconds, .least = time, .most = time};
  return finding;
}

Findings launch(const DoctorView& view) {
  const auto& job = view.job;
  if (!job.independent_copies.empty())
    return {bad("launch", Health::fail, job.independent_copies,
                "use the mpirun of the library named under `mpi`, or srun --mpi=pmix")};
  return {good("launch", job.ranks.size() == 1
                             ? "one rank"
                             : cat("one world of ", job.ranks.size(), " ranks on ", view.hosts.size(),
                                   view.several_hosts() ? " hosts" : " host"))};
}

Findings mpi(const DoctorView& view) {
  const RankFacts& rank = *view.rank;
  if (rank.mpi_library.empty())
    return {good("mpi", "built without MPI: one process, whose ranks can only be threads (drover verify)")};
  if (rank.mpi_library != view.job.ranks[0].mpi_library)
    return {bad("mpi", Health::fail, cat(rank.mpi_library, ", where rank 0 has another version"),
                "load the same MPI on all hosts (module, container, LD_LIBRARY_PATH)")};
  return {good("mpi", rank.mpi_library)};
}

Findings program(const DoctorView& view) {
  const RankFacts& rank = *view.rank;
  if (rank.digest != view.job.ranks[0].digest)
    return {bad("program", Health::fail, cat("not the executable of rank 0, but ", rank.program),
                "copy one build to all hosts, or start it from a shared folder")};
  return {good("program", cat(rank.program, "; digest ", rank.digest.substr(0, 12)))};
}

Findings configuration(const DoctorView& view) {
  const RankFacts& rank = *view.rank;
  if (!rank.config_error.empty())
    return {bad("configuration", Health::fail, rank.config_error, "drover config CONFIG shows what is read")};
  if (rank.config.empty()) return {};
  if (rank.config != view.job.ranks[0].config)
    return {bad("configuration", Health::fail, "does not say what rank 0's says",
                "give all hosts the same files")};
  if (!view.job.misfit.empty())
    return {
        bad("configuration", Health::fail, view.job.misfit, "change the ranks of the job, or parallel.*")};
  return {good("configuration", "reads without an error")};
}

Findings placement(const DoctorView& view) {
  const int here = view.host().ranks, tensor = view.job.tensor;
  Findings found = {good("placement", view.hosts.size() <= kMostNamedHosts
                                          ? cat("on ", view.rank->host)
                                          : cat("on hosts with ", here, here == 1 ? " rank" : " ranks"))};
  if (tensor == 1 || view.job.ranks.size() < 2) return found;
  const auto first = static_cast<std::size_t>(view.number - view.number % tensor);
  if (view.job.ranks.at(first).host != view.rank->host)
    found.push_back(bad(
        "placement", Health::warn, cat("in a tensor group of ", tensor, " ranks that began on another host"),
        "tensor ranks exchange activations twice a block: place consecutive ranks on one host "
        "(--map-by slot), and make parallel.tensor divide the ranks of a host"));
  return found;
}

std::string count_of(std::int64_t number, const char* noun) {
  return cat(number, " ", noun, number == 1 ? "" : "s");
}

// One rank in a job of several tasks sees one host, and that less than all.
Findings slurm(const DoctorView& view) {
  const auto job = slurm_job(view.rank->environment);
  if (!job) return {};
  const std::string name = cat("job ", job->id, " of Slurm: ");
  if (view.job.ranks.size() == 1 && job->tasks > 1 && view.job.independent_copies.empty())
    return {bad("slurm", Health::warn,
                cat(name, job->tasks, " tasks on ", count_of(job->hosts, "host"), ", but one rank"),
                "start it as the training: srun --mpi=pmix drover doctor, or mpirun drover doctor")};
  return {good("slurm", cat(name, count_of(job->cpus_here, "hardware thread"), " of this host"))};
}

// The hardware threads of a host that this job may use.
struct OwnThreads {
  int count = 0;
  const char* whose = "";  // "the host's"
};

OwnThreads own_threads(const RankFacts& rank) {
  const auto job = slurm_job(rank.environment);
  if (job && job->cpus_here > 0 && job->cpus_here < rank.hardware_threads)
    return {static_cast<int>(job->cpus_here), "the job's"};
  return {rank.hardware_threads, "the host's"};
}

const char* unbound_remedy(const RankFacts& rank) {
  return slurm_job(rank.environment)
             ? "mpirun --bind-to none, or srun --cpus-per-task=N, a number that srun does not take from "
               "sbatch"
             : "start with --bind-to none (or --map-by slot:PE=N), unless the rest is not for this job";
}

// Ranks and hardware threads of a host: too many of either?
Findings threads(const DoctorView& view) {
  const RankFacts& rank = *view.rank;
  const auto used = static_cast<int>(view.host().cores.size()), own = static_cast<int>(rank.cores.size());
  const auto [here, whose] = own_threads(rank);
  const int ranks = view.host().ranks;
  const auto of_all = [&](int some) { return cat(some, " of ", whose, " ", here, " hardware threads"); };
  if (ranks > used)
    return {bad("threads", Health::warn, cat(ranks, " ranks share ", of_all(used)),
                used < here ? unbound_remedy(rank)
                            : "start fewer ranks: those that wait take time from those that compute")};
  if (used < here)
    return {bad("threads", Health::warn, cat("bound to ", of_all(own), "; ", here - used, " have no rank"),
                unbound_remedy(rank))};
  if (used > here)
    return {bad("threads", Health::warn,
                cat("may run on ", used, " hardware threads, of which ", here, " are the job's"),
                "other jobs' ranks may be on the rest: sbatch --exclusive, or srun --cpu-bind=cores")};
  return {good("threads", cat(count_of(ranks, "rank"), " on ", count_of(here, "hardware thread"),
                              ", each may run on ", own))};
}

Findings quota(const DoctorView& view) {
  const double quota = view.rank->cpu_quota;
  if (quota == 0 || quota >= static_cast<double>(view.host().cores.size())) return {};
  return {
      bad("threads", Health::warn,
          fmt::format("the container may use {:.3g} hardware threads' time, but runs on {}", quota,
                      view.host().cores.size()),
          "raise the container's CPU limit, or bind the job to that many: else ranks are paused in turns")};
}

Findings instructions(const DoctorView& view) {
  const RankFacts& rank = *view.rank;
  const std::string text = cat(rank.instructions, " (", rank.processor, ")");
  if (rank.instructions != view.job.ranks[0].instructions)
    return {bad(
        "instructions", Health::warn, cat(text, ", where rank 0 has ", view.job.ranks[0].instructions),
        "a job on unlike processors trains, but does not repeat bit for bit when ranks move; cpu_path names "
        "instructions that all of them have")};
  if (rank.instructions == "plain")
    return {bad("instructions", Health::warn, text,
                "right but slow: no AVX2 on this processor or in this build")};
  return {good("instructions", cat(text, ": ", rank.instructions_basis))};
}

struct VariableRule {
  const char* name;
  // Why this value hurts a rank; null when it does not.
  const char* (*harm)(const std::string& value, const RankFacts& rank);
};

using Value = const std::string&;
using Rank = const RankFacts&;

bool is_off(Value value) { return value == "false" || value == "FALSE" || value == "0"; }

const char* harm_of_count(Value value, Rank rank) {
  return std::atoll(value.c_str()) > static_cast<long long>(rank.cores.size())
             ? "more threads than the rank may run on: Drover's own are not affected, libraries' are"
             : nullptr;
}
const char* harm_of_binding(Value value, Rank) {
  return is_off(value) ? nullptr
                       : "OpenMP binds the rank's first thread, and all of Drover's threads inherit that";
}
const char* harm_of_instructions(Value, Rank) {
  return "oneDNN leaves instructions unused, and results differ in bits from runs without it";
}
const char* harm_of_output(Value value, Rank) {
  return is_off(value) ? nullptr : "oneDNN prints a line for every product";
}
const char* harm_of_checking(Value value, Rank) {
  return is_off(value) ? nullptr : "every allocation is checked or filled";
}

const std::vector<VariableRule>& variable_rules() {
  static const std::vector<VariableRule> kRules = {{"OMP_NUM_THREADS", harm_of_count},
                                                   {"OMP_PROC_BIND", harm_of_binding},
                                                   {"OMP_PLACES", harm_of_binding},
                                                   {"GOMP_CPU_AFFINITY", harm_of_binding},
                                                   {"OPENBLAS_NUM_THREADS", harm_of_count},
                                                   {"MKL_NUM_THREADS", harm_of_count},
                                                   {"ONEDNN_MAX_CPU_ISA", harm_of_instructions},
                                                   {"DNNL_MAX_CPU_ISA", harm_of_instructions},
                                                   {"ONEDNN_VERBOSE", harm_of_output},
                                                   {"DNNL_VERBOSE", harm_of_output},
                                                   {"MALLOC_CHECK_", harm_of_checking},
                                                   {"MALLOC_PERTURB_", harm_of_checking}};
  return kRules;
}

Findings environment(const DoctorView& view) {
  Findings found;
  for (const auto& [name, harm] : variable_rules()) {
    const auto set = view.rank->environment.find(name);
    if (set == view.rank->environment.end()) continue;
    if (const char* const why = harm(set->second, *view.rank))
      found.push_back(
          bad("environment", Health::warn, cat(name, "=", set->second, ": ", why), cat("unset ", name)));
  }
  if (found.empty()) found.push_back(good("environment", "no variable that changes threads or instructions"));
  return found;
}

Findings gpus(const DoctorView& view) {
  const RankFacts& rank = *view.rank;
  if (rank.gpus == 0 && !rank.built_for_gpus) return {good("gpus", "none, and built without CUDA and NCCL")};
  if (!rank.built_for_gpus)
    return {bad("gpus", Health::warn, cat(rank.gpus, " on the host, but built without CUDA and NCCL"),
                "this build computes on CPUs; the GPUs stay unused")};
  if (rank.gpus == 0)
    return {bad("gpus", Health::warn, "built with CUDA and NCCL, but the host has no device",
                "is the driver loaded, and are the devices given to the container?")};
  if (rank.gpus < view.host().ranks)
    return {bad("gpus", Health::fail, cat(rank.gpus, " for ", view.host().ranks, " ranks of the host"),
                "NCCL takes one rank a device: start as many ranks on a host as it has devices")};
  return {good("gpus",
               cat(rank.gpus, " for ", view.host().ranks, " ranks of the host; built with CUDA and NCCL"))};
}

Findings shared_memory(const DoctorView& view) {
  const RankFacts& rank = *view.rank;
  if (view.host().ranks < 2) return {};
  Findings found;
  if (!rank.maps_neighbour || !rank.reads_neighbour)
    found.push_back(
        bad("shared memory", Health::warn,
            rank.maps_neighbour ? "may not read the memory of other ranks of its host"
                                : "cannot map pages of other ranks of its host",
            "collectives inside a host go by messages instead, with the same results and more slowly; "
            "in containers, put a host's ranks in one, or allow ptrace (--cap-add SYS_PTRACE) and share "
            "process ids"));
  else
    found.push_back(good("shared memory", "collectives inside a host go through memory"));
  const std::int64_t wanted = view.host().ranks * static_cast<std::int64_t>(8 * kMiB);
  if (rank.shared_folder_free < wanted)
    found.push_back(
        bytes(bad("shared memory", Health::warn, "{} free in /dev/shm",
                  "Open MPI keeps its messages between a host's ranks there: give the container more "
                  "(--shm-size=1g)"),
              rank.shared_folder_free));
  return found;
}

constexpr std::int64_t kFewestFiles = 128, kFiles = 1024;

// A rank has its stores, checkpoints and log open, and a connection to every rank it talks to.
Finding open_files(const DoctorView& view) {
  const std::int64_t limit = view.rank->open_files;
  const std::int64_t peers = view.several_hosts() ? static_cast<std::int64_t>(view.job.ranks.size()) : 0;
  const std::string remedy = cat("ulimit -n ", std::max(kFiles, peers + kFewestFiles),
                                 " before the launcher, or the same in its service's limits");
  if (limit < kFewestFiles) return bad("limits", Health::fail, cat(limit, " open files"), remedy);
  if (limit < std::max(kFiles, peers + kFewestFiles))
    return bad("limits", Health::warn, cat(limit, " open files"), remedy);
  return good("limits",
              limit == kUnlimited ? std::string("open files without limit") : cat(limit, " open files"));
}

Findings limits(const DoctorView& view) {
  const RankFacts& rank = *view.rank;
  Findings found = {open_files(view)};
  if (rank.locked_bytes < 64 * kMiB && (view.several_hosts() || rank.gpus > 0))
    found.push_back(bytes(bad("limits", Health::warn, "{} of locked memory",
                              "ulimit -l unlimited: fast networks and GPUs lock the memory that they read"),
                          rank.locked_bytes));
  if (rank.stack_bytes < kMiB)
    found.push_back(
        bytes(bad("limits", Health::fail, "{} of stack a thread", "ulimit -s 8192"), rank.stack_bytes));
  if (rank.core_bytes == 0)
    found.push_back(good("limits", "no core file after a crash (ulimit -c unlimited turns them on)"));
  return found;
}

Findings memory(const DoctorView& view) {
  const RankFacts& rank = *view.rank;
  const auto job = slurm_job(rank.environment);
  const std::int64_t of_job = job && job->memory_here > 0 ? job->memory_here : kUnlimited;
  const std::int64_t all = std::min({rank.memory_available, rank.memory_limit, of_job});
  const std::string text = cat("{} a rank, of what ", all == of_job              ? "the job may use"
                                                      : all == rank.memory_limit ? "the container may use"
                                                                                 : "the host has free");
  const std::int64_t share = all / view.host().ranks;
  if (share < kGiB / 4)
    return {bytes(bad("memory", Health::warn, text, "fewer ranks a host, or hosts with more memory"), share)};
  return {bytes(good("memory", text), share)};
}

bool is_network(const std::string& name) {
  static const std::unordered_set<std::string> kNames = {"nfs", "smb", "fuse", "9p", "afs"};
  return kNames.contains(name);
}
bool is_fleeting(const std::string& name) { return name == "tmpfs" || name == "overlay"; }

// Room for the checkpoints that a run keeps and the one it is writing, where the configuration tells.
Finding space(const DoctorView& view) {
  const FolderFacts& folder = view.rank->folder;
  const std::int64_t one = std::max(view.job.checkpoint_bytes, static_cast<std::int64_t>(16 * kMiB));
  const std::int64_t all = std::max(one * (view.job.checkpoints + 1), static_cast<std::int64_t>(kGiB));
  const std::string in = cat("{} free in ", folder.path);
  const char* const remedy = "free space, or choose another run.dir; checkpoint.keep says how many are kept";
  if (folder.free_bytes < one)
    return bytes(bad("run directory", Health::fail, in + ", less than one checkpoint", remedy),
                 folder.free_bytes);
  if (folder.free_bytes < all)
    return bytes(bad("run directory", Health::warn, in + ", little for checkpoints", remedy),
                 folder.free_bytes);
  return bytes(good("run directory", in), folder.free_bytes);
}

Finding kind_of_file_system(const DoctorView& view) {
  const FolderFacts& folder = view.rank->folder;
  const std::string text = cat(folder.path, " is on ", folder.file_system);
  if (is_network(folder.file_system))
    return bad("run directory", Health::warn, text,
               "works, where the file system implements flock and fsync; mounts with `nolock` or `soft` lose "
               "the protection from two runs in one folder, or writes");
  return bad("run directory", Health::warn, text,
             "what is written there is gone with the machine or container: choose a disk for run.dir");
}

Finding write_time(const FolderFacts& folder) {
  const std::string text = cat("{} to create, sync and rename a file in ", folder.path);
  if (folder.sync_seconds < 1) return seconds(good("run directory", text), folder.sync_seconds);
  return seconds(bad("run directory", Health::warn, text, "checkpoints will be slow: a faster file system"),
                 folder.sync_seconds);
}

Findings run_directory(const DoctorView& view) {
  const FolderFacts& folder = view.rank->folder;
  if (!folder.failure.empty())
    return {bad("run directory", Health::fail, folder.failure,
                "--run-dir (run.dir) names a folder that all hosts "
                "can write to")};
  Findings found;
  if (!folder.sees_rank_0)
    found.push_back(bad("run directory", Health::fail,
                        cat("a file of rank 0's is not in ", folder.path, " here"),
                        "all hosts need the same folder, on a file system that they share"));
  if (!folder.written) return found;
  found.push_back(write_time(folder));
  found.push_back(space(view));
  if (is_network(folder.file_system) || is_fleeting(folder.file_system))
    found.push_back(kind_of_file_system(view));
  return found;
}

constexpr double kMostSkew = 1;

Findings clocks(const DoctorView& view) {
  const RankFacts& rank = *view.rank;
  if (!view.several_hosts() || rank.clock_error < 0) return {};
  if (std::abs(rank.clock_ahead) - rank.clock_error > kMostSkew)
    return {seconds(
        bad("clocks", Health::warn, rank.clock_ahead > 0 ? "{} ahead of rank 0's" : "{} behind rank 0's",
            "metrics and logs of hosts will not line up: start NTP (chronyd) on all"),
        std::abs(rank.clock_ahead))};
  return {good("clocks", "within a second of rank 0's")};
}

}  // namespace

DoctorView::DoctorView(const JobFacts& facts) : job(facts) {
  for (const RankFacts& one : facts.ranks) {
    HostFacts& all = hosts[one.host];
    ++all.ranks;
    all.cores.insert(one.cores.begin(), one.cores.end());
  }
}

std::vector<std::string> doctor_variables() {
  std::vector<std::string> names;
  for (const VariableRule& rule : variable_rules()) names.emplace_back(rule.name);
  for (const std::string& name : slurm_variables()) names.push_back(name);
  return names;
}

const std::vector<DoctorCheck>& doctor_checks() {
  static const std::vector<DoctorCheck> kChecks = {
      launch,       slurm,       mpi,  program,       configuration, placement, threads,       quota,
      instructions, environment, gpus, shared_memory, limits,        memory,    run_directory, clocks};
  return kChecks;
}

}  // namespace drover
