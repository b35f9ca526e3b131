// What a rank's environment says of the Slurm job that it is in. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace drover {

struct SlurmJob {
  std::string id;
  std::int64_t hosts = 1, tasks = 1;  // that were asked for; mpirun may start another number of ranks
  std::int64_t cpus_here = 0;         // hardware threads of this host that are the job's; 0: not said
  std::int64_t memory_here = 0;       // bytes of this host that are the job's; 0: not said
};

// None outside of a job. A number that is none counts as not said.
std::optional<SlurmJob> slurm_job(const std::map<std::string, std::string>& environment);
std::vector<std::string> slurm_variables();  // that slurm_job reads

}  // namespace drover
