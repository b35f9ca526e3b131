// What `drover doctor` finds wrong with a job, from what its ranks know of themselves and their hosts. Pure: the
// facts are gathered by launch/doctor/gather.h, or made up by a test. Costs O(ranks).
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace drover {

inline constexpr std::int64_t kUnlimited = std::numeric_limits<std::int64_t>::max();

// The folder that the run directory is, or will be made in, as a rank found it. The first rank of each host writes
// there; every rank looks for a file of rank 0's.
struct FolderFacts {
  std::string path;
  std::string failure;      // what did not work, with the system's reason; empty: everything did
  std::string file_system;  // "nfs", "tmpfs" ..., of those that a run should think about; else empty
  bool written = false, sees_rank_0 = true;
  std::int64_t free_bytes = kUnlimited;
  double sync_seconds = 0;  // to write a small file so that it stays
};

struct RankFacts {
  std::string host;

  std::string program;      // version, commit, options of the build
  std::string digest;       // of the executable's bytes
  std::string mpi_library;  // empty: built without MPI
  std::string config,
      config_error;  // digest of the resolved configuration, or why there is none; both empty: none

  std::string processor, instructions;  // "AMD EPYC 9R14", "avx512_bf16"
  std::string instructions_basis;       // why these: "AuthenticAMD family 0x19 ..., measured on Zen 4: ..."
  int hardware_threads = 1;             // of the host
  std::vector<int> cores;               // hardware threads that this rank may run on, ascending
  double cpu_quota = 0;                 // of processor time, in hardware threads; 0: no quota
  std::map<std::string, std::string> environment;  // doctor_variables() that are set

  std::int64_t memory_available = 0, memory_limit = kUnlimited;  // bytes; the limit is the container's
  std::int64_t shared_folder_free = 0;                           // bytes of /dev/shm; 0: there is none
  bool maps_neighbour = true, reads_neighbour = true;            // memory of the next rank of its host
  std::int64_t open_files = kUnlimited, locked_bytes = kUnlimited, stack_bytes = kUnlimited, core_bytes = 0;

  int gpus = 0;                 // devices of the host
  bool built_for_gpus = false;  // with CUDA, cuDNN and NCCL
  // Seconds that the host's clock is before rank 0's, known to +- error; the error is below 0 where nobody asked (the
  // first rank of a host answers for it).
  double clock_ahead = 0, clock_error = -1;

  FolderFacts folder;
};

// One line, as it travels to rank 0.
std::string write_rank_facts(const RankFacts& facts);
RankFacts read_rank_facts(const std::string& line);

// Of the environment: those that the report has an opinion on.
std::vector<std::string> doctor_variables();

struct JobFacts {
  std::vector<RankFacts> ranks;    // by rank; at least one
  std::string independent_copies;  // why this is no job of several ranks but several jobs; empty: it is one
  std::string misfit;              // why the configuration is not for so many ranks; empty: it is
  int tensor = 1;                  // consecutive ranks that exchange activations twice a block
  std::int64_t checkpoint_bytes = 0,
               checkpoints = 0;  // of one, and how many the run keeps; 0: no configuration
};

enum class Health : std::uint8_t { ok, warn, fail };

// Rank numbers, ascending, as "0-3, 8".
class RankRanges {
 public:
  void add(int rank);  // above all that are there
  std::string text() const;

 private:
  std::vector<std::pair<int, int>> ranges_;
};

// A size that differs a little between ranks, for the place of {} in a finding's text.
struct Measured {
  enum class Unit : std::uint8_t { bytes, seconds } unit = Unit::bytes;
  double least = 0, most = 0;
};

struct Finding {
  std::string topic;
  Health health = Health::ok;
  std::string text, remedy;  // no remedy where nothing is wrong
  std::optional<Measured> measured;
  RankRanges ranks{};
};

// By topic, in the order of the report; ranks that have the same finding share one.
std::vector<Finding> diagnose(const JobFacts& job);
Health worst(const std::vector<Finding>& findings);
// What rank 0 prints: a line per finding, its remedy below it, and a count.
std::string doctor_report(const JobFacts& job, const std::vector<Finding>& findings);

}  // namespace drover
