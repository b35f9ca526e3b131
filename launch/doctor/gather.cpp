#include "launch/doctor/gather.h"

#include <algorithm>

#include "core/base/digest.h"
#include "core/cpu/cpu_backend.h"
#include "launch/config/run_config.h"
#include "launch/doctor/folder.h"
#include "launch/doctor/system.h"
#include "launch/process/build_identity.h"
#include "model/config.h"
#include "parallel/comm/agreement.h"
#include "parallel/comm/host/shared_memory.h"
#include "train/training.h"
#ifdef DROVER_WITH_MPI
#include "parallel/comm/mpi/mpi_comm.h"
#endif

namespace drover {

namespace {

std::string mpi_library_name() {
#ifdef DROVER_WITH_MPI
  return mpi_library();
#else
  return "";
#endif
}

std::string digest_of_file(FileSystem& files, const char* path) {
  const auto file = files.open(path, OpenMode::read);
  return hex(digest_of(file->map().bytes));
}

void describe_program(FileSystem& files, RankFacts& facts) {
  const std::string options = build_options();
  facts.program = cat(build_version(), " (", build_commit(), "), ", options);
  facts.digest = digest_of_file(files, "/proc/self/exe");
  facts.mpi_library = mpi_library_name();
  facts.built_for_gpus = options.find("cuda ON") != std::string::npos;
}

// Those that a run computes with: the configuration's, or what Drover takes on this processor, and why.
void describe_instructions(const std::optional<Config>& config, RankFacts& facts) {
  const PathChoice choice = choose_path(this_processor());
  const bool automatic = !config || config->cpu_path == "auto";
  facts.instructions = automatic ? name_of(choice.path) : config->cpu_path;
  facts.instructions_basis = cat(describe(this_processor()), ", ", automatic ? choice.basis : "by cpu_path");
}

// The configuration as this rank reads it, or why it cannot.
std::optional<Config> read_configuration(FileSystem& files, const ConfigSource& source, RankFacts& facts) {
  if (source.path.empty()) return std::nullopt;
  try {
    Config config = read_run_config(files, source).config;
    facts.config = hex(digest_of(write_run_config(config)));
    return config;
  } catch (const Error& error) {
    facts.config_error = error.what();
    return std::nullopt;
  }
}

// The ranks of the host, and this one's place among them.
struct HostRanks {
  std::vector<int> ranks;
  std::vector<int> first_ranks;  // one of every host, ascending
  int next = 0;                  // in a ring through the host's ranks

  bool is_first(int rank) const { return ranks.front() == rank; }
};

HostRanks find_host_ranks(Process& process) {
  Communicator& world = process.world();
  std::int64_t mine = static_cast<std::int64_t>(digest_of(host_name()).low);
  std::vector<std::int64_t> all(static_cast<std::size_t>(world.size()));
  world
      .all_gather(process.control(),
                  {.in = Tensor::of(&mine, {1}), .out = Tensor::of(all.data(), {world.size()})})
      .join();
  HostRanks host;
  std::map<std::int64_t, int> first;
  for (int rank = 0; rank < world.size(); ++rank) {
    const std::int64_t name = all[static_cast<std::size_t>(rank)];
    if (name == mine) host.ranks.push_back(rank);
    if (first.emplace(name, rank).second) host.first_ranks.push_back(rank);
  }
  const auto next = std::upper_bound(host.ranks.begin(), host.ranks.end(), world.rank());
  host.next = next == host.ranks.end() ? host.ranks.front() : *next;
  return host;
}

// As collectives inside a host do: pages of the neighbour's, and its own memory.
void try_neighbour(Process& process, const HostRanks& host, RankFacts& facts) {
  struct Offer {
    std::int64_t process, descriptor, address;
  };
  Communicator& world = process.world();
  const SharedMemory pages = SharedMemory::make(4096);
  const std::int64_t probe = pages.handle().process;
  Offer mine{pages.handle().process, pages.handle().descriptor, reinterpret_cast<std::intptr_t>(&probe)};
  std::vector<Offer> all(static_cast<std::size_t>(world.size()));
  world
      .all_gather(process.control(), {.in = Tensor::of(&mine.process, {3}),
                                      .out = Tensor::of(&all[0].process, {3 * world.size()})})
      .join();
  const Offer& other = all[static_cast<std::size_t>(host.next)];
  const auto owner = static_cast<std::int32_t>(other.process);
  std::int64_t read = -1;
  facts.maps_neighbour =
      !SharedMemory::open({owner, static_cast<std::int32_t>(other.descriptor)}, 4096).none();
  facts.reads_neighbour =
      read_process(owner, static_cast<std::uint64_t>(other.address), &read, sizeof read) &&
      read == other.process;
  world.barrier(process.control()).join();  // the neighbour may go now
}

void send_number(Process& process, double number, int peer) {
  process.world().send(process.control(), Tensor::of(&number, {1}), peer).join();
}

double receive_number(Process& process, int peer) {
  double number = 0;
  process.world().recv(process.control(), Tensor::of(&number, {1}), peer).join();
  return number;
}

constexpr int kClockExchanges = 5;

// Rank 0 asks for the peer's time and takes the quickest answer: it was given half-way.
void ask_for_time(Process& process, int peer) {
  double ahead = 0, error = 1e9;
  for (int i = 0; i < kClockExchanges; ++i) {
    const double asked = seconds_since_1970();
    send_number(process, asked, peer);
    const double theirs = receive_number(process, peer), answered = seconds_since_1970();
    if ((answered - asked) / 2 >= error) continue;
    error = (answered - asked) / 2;
    ahead = theirs - (asked + answered) / 2;
  }
  send_number(process, ahead, peer);
  send_number(process, error, peer);
}

void tell_time(Process& process, RankFacts& facts) {
  for (int i = 0; i < kClockExchanges; ++i) {
    receive_number(process, 0);
    send_number(process, seconds_since_1970(), 0);
  }
  facts.clock_ahead = receive_number(process, 0);
  facts.clock_error = receive_number(process, 0);
}

// The first rank of every host compares its clock with rank 0's.
void compare_clocks(Process& process, const HostRanks& host, RankFacts& facts) {
  if (process.first()) {
    facts.clock_error = 0;
    for (const int peer : host.first_ranks)
      if (peer != 0) ask_for_time(process, peer);
  } else if (host.is_first(process.world().rank())) {
    tell_time(process, facts);
  }
}

// Every host's first rank writes; every rank looks for what rank 0 wrote.
void try_folder(Process& process, FileSystem& files, const HostRanks& host, const std::string& run_dir,
                RankFacts& facts) {
  Communicator& world = process.world();
  FolderFacts& folder = facts.folder;
  folder.path = existing_part(run_dir);
  const auto probe = host.is_first(world.rank()) ? std::make_unique<FolderProbe>(files, folder) : nullptr;
  if (probe) measure_folder(folder);
  std::string name = probe ? probe->name() : "";
  broadcast_text(process.control(), world, name, 0);
  folder.sees_rank_0 = name.empty() || FolderProbe::is_in(files, folder.path, name);
  world.barrier(process.control()).join();  // all have looked
}

// Weights and two moments, in float32 (float64: twice that).
std::int64_t checkpoint_bytes(const Config& config) {
  return count_parameters(config.model).total * 3 * (config.train.dtype == "float64" ? 8 : 4);
}

void compare_with_job(const Config& config, int ranks, JobFacts& job) {
  job.tensor = static_cast<int>(config.parallel.tensor);
  job.checkpoint_bytes = checkpoint_bytes(config);
  job.checkpoints = config.checkpoint.keep;
  if (ranks == 1) return;  // a look before a job of any size
  try {
    mesh_of(config, ranks);
  } catch (const Error& error) {
    job.misfit = error.what();
  }
}

std::string run_dir_of(const DoctorRequest& request, const std::optional<Config>& config) {
  if (!request.run_dir.empty()) return request.run_dir;
  return config ? config->run.dir : ".";
}

}  // namespace

JobFacts gather_job_facts(Process& process, FileSystem& files, const DoctorRequest& request) {
  RankFacts facts{.host = host_name()};
  describe_program(files, facts);
  ask_system(facts);
  read_host_files("/", facts);
  const std::optional<Config> config = read_configuration(files, request.config, facts);
  describe_instructions(config, facts);
  const HostRanks host = find_host_ranks(process);
  try_neighbour(process, host, facts);
  compare_clocks(process, host, facts);
  try_folder(process, files, host, run_dir_of(request, config), facts);
  JobFacts job;
  std::string line = write_rank_facts(facts);
  bring_texts_to_first(process.control(), process.world(), line,
                       [&](const std::string& of_rank) { job.ranks.push_back(read_rank_facts(of_rank)); });
  if (config) compare_with_job(*config, process.world().size(), job);
  return job;
}

}  // namespace drover
