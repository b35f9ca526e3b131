// The facts of a rank as JSON.
#include <nlohmann/json.hpp>

#include "launch/doctor/doctor.h"

namespace drover {

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(FolderFacts, path, failure, file_system, written, sees_rank_0, free_bytes,
                                   sync_seconds)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(RankFacts, host, program, digest, mpi_library, config, config_error,
                                   processor, instructions, instructions_basis, hardware_threads, cores,
                                   cpu_quota, environment, memory_available, memory_limit, shared_folder_free,
                                   maps_neighbour, reads_neighbour, open_files, locked_bytes, stack_bytes,
                                   core_bytes, gpus, built_for_gpus, clock_ahead, clock_error, folder)

// Names and texts of the system may be no UTF-8; the report shows U+FFFD there.
std::string write_rank_facts(const RankFacts& facts) {
  return nlohmann::json(facts).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

RankFacts read_rank_facts(const std::string& line) { return nlohmann::json::parse(line).get<RankFacts>(); }

}  // namespace drover
