#include "launch/doctor/slurm.h"

#include <algorithm>
#include <cstdlib>

namespace drover {

namespace {

constexpr const char* kJob = "SLURM_JOB_ID";
constexpr const char* kHosts = "SLURM_JOB_NUM_NODES";
constexpr const char* kTasks = "SLURM_NTASKS";
constexpr const char* kCpusHere = "SLURM_CPUS_ON_NODE";
constexpr const char* kMegabytesHere = "SLURM_MEM_PER_NODE";
constexpr const char* kMegabytesACpu = "SLURM_MEM_PER_CPU";

}  // namespace

std::vector<std::string> slurm_variables() {
  return {kJob, kHosts, kTasks, kCpusHere, kMegabytesHere, kMegabytesACpu};
}

std::optional<SlurmJob> slurm_job(const std::map<std::string, std::string>& environment) {
  const auto id = environment.find(kJob);
  if (id == environment.end()) return std::nullopt;
  const auto number = [&](const char* name) -> std::int64_t {
    const auto found = environment.find(name);
    constexpr std::int64_t kMost = 1 << 24;
    return found == environment.end() ? 0
                                      : std::clamp<std::int64_t>(std::atoll(found->second.c_str()), 0, kMost);
  };
  const std::int64_t cpus = std::min<std::int64_t>(number(kCpusHere), 1 << 16);
  const std::int64_t megabytes = std::max(number(kMegabytesHere), number(kMegabytesACpu) * cpus);
  return SlurmJob{.id = id->second,
                  .hosts = std::max<std::int64_t>(number(kHosts), 1),
                  .tasks = std::max<std::int64_t>(number(kTasks), 1),
                  .cpus_here = cpus,
                  .memory_here = megabytes << 20};
}

}  // namespace drover
