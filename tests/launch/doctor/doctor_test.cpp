#include "launch/doctor/doctor.h"

#include <algorithm>
#include <fstream>
#include <numeric>

#include "core/base/error.h"
#include "launch/doctor/folder.h"
#include "launch/doctor/system.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/test_support.h"

using namespace drover;

namespace {

constexpr std::int64_t kGiB = std::int64_t{1} << 30;

std::vector<int> threads_from(int first, int count) {
  std::vector<int> threads(static_cast<std::size_t>(count));
  std::iota(threads.begin(), threads.end(), first);
  return threads;
}

// A rank that nothing is wrong with, alone on a host of 16 hardware threads.
RankFacts healthy() {
  return {.host = "a",
          .program = "0.1.0 (abc), release",
          .digest = "0123456789abcdef0123456789abcdef",
          .mpi_library = "Open MPI v4.1.4",
          .processor = "EPYC",
          .instructions = "avx512_bf16",
          .hardware_threads = 16,
          .cores = threads_from(0, 16),
          .memory_available = 64 * kGiB,
          .shared_folder_free = 8 * kGiB,
          .open_files = 65536,
          .stack_bytes = 8 << 20,
          .folder = {.path = "/runs", .file_system = "", .written = true, .free_bytes = 100 * kGiB}};
}

// `hosts` hosts with `each` ranks, consecutive, which share the hosts' hardware threads evenly.
JobFacts job_on(int hosts, int each) {
  JobFacts job;
  for (int rank = 0; rank < hosts * each; ++rank) {
    RankFacts facts = healthy();
    facts.host = cat("host", rank / each);
    facts.cores = threads_from(rank % each * (16 / each), 16 / each);
    facts.folder.written = rank % each == 0;
    job.ranks.push_back(std::move(facts));
  }
  return job;
}

JobFacts alone(const RankFacts& facts) {
  JobFacts job;
  job.ranks = {facts};
  return job;
}

// The findings that are not ok, as "fail limits: 100 open files".
std::vector<std::string> troubles(const JobFacts& job) {
  std::vector<std::string> found;
  for (const Finding& finding : diagnose(job)) {
    if (finding.health == Health::ok) continue;
    CHECK_FALSE(finding.remedy.empty());
    const std::string who = job.ranks.size() == 1 ? "" : finding.ranks.text() + ": ";
    found.push_back(
        cat(finding.health == Health::fail ? "fail " : "warn ", finding.topic, ": ", who, finding.text));
  }
  return found;
}

using Texts = std::vector<std::string>;

}  // namespace

TEST_CASE("a healthy job has no findings but good ones, and one line for all ranks") {
  for (const auto& [hosts, each] : {std::pair(1, 1), std::pair(1, 16), std::pair(4, 8)}) {
    const JobFacts job = job_on(hosts, each);
    CHECK(troubles(job) == Texts{});
    const auto findings = diagnose(job);
    CHECK(worst(findings) == Health::ok);
    CHECK(findings.size() < 24);
  }
}

TEST_CASE("ranks are merged into ranges, and a long list is cut") {
  RankRanges ranges;
  for (const int rank : {0, 1, 2, 3, 8}) ranges.add(rank);
  CHECK(ranges.text() == "ranks 0-3, 8");
  RankRanges one;
  one.add(7);
  CHECK(one.text() == "rank 7");
  RankRanges many;
  for (int rank = 0; rank < 100; rank += 2) many.add(rank);
  CHECK(many.text() == "ranks 0, 2, 4, 6, 8, 10, 12, 14 and 42 more");
}

TEST_CASE("16,384 ranks make a report of a page, which names the few that are unlike the others") {
  JobFacts job = job_on(2048, 8);
  for (std::size_t rank = 0; rank < job.ranks.size(); ++rank)  // no two hosts are the same
    job.ranks[rank].memory_available += static_cast<std::int64_t>(rank / 8) * 1000000;
  for (std::size_t rank = 800; rank < 808; ++rank) job.ranks[rank].digest = "feed";
  job.ranks[777].open_files = 100;
  CHECK(troubles(job) ==
        Texts{"fail program: ranks 800-807: not the executable of rank 0, but 0.1.0 (abc), release",
              "fail limits: rank 777: 100 open files"});
  const std::string report = doctor_report(job, diagnose(job));
  CHECK(std::count(report.begin(), report.end(), '\n') < 30);
  CHECK(report.find("ranks 0-16383: on hosts with 8 ranks") != std::string::npos);
}

TEST_CASE("copies that MPI does not join fail with how to start one job") {
  JobFacts job = alone(healthy());
  job.independent_copies = "the launcher started 4 processes, but each sees a world of 1";
  CHECK(troubles(job) == Texts{"fail launch: the launcher started 4 processes, but each sees a world of 1"});
}

TEST_CASE("another executable, library or configuration than rank 0's fails") {
  JobFacts job = job_on(2, 2);
  job.ranks[3].digest = "feed";
  job.ranks[2].mpi_library = "Open MPI v5.0.7";
  job.ranks[1].config = "feed";
  CHECK(troubles(job) == Texts{"fail mpi: rank 2: Open MPI v5.0.7, where rank 0 has another version",
                               "fail program: rank 3: not the executable of rank 0, but 0.1.0 (abc), release",
                               "fail configuration: rank 1: does not say what rank 0's says"});
}

TEST_CASE("a configuration that cannot be read, or is for another number of ranks, fails") {
  JobFacts job = job_on(1, 2);
  job.ranks[0].config_error = job.ranks[1].config_error = "run.yaml:3:1: unknown key";
  CHECK(troubles(job) == Texts{"fail configuration: ranks 0-1: run.yaml:3:1: unknown key"});
  for (auto& rank : job.ranks) rank.config = "c", rank.config_error = "";
  job.misfit = "tensor x pipeline = 4 does not divide 2 ranks";
  CHECK(troubles(job) ==
        Texts{"fail configuration: ranks 0-1: tensor x pipeline = 4 does not divide 2 ranks"});
}

TEST_CASE("ranks bound to fewer hardware threads than the host has are told") {
  JobFacts job = job_on(1, 2);
  job.ranks[0].cores = {0};
  job.ranks[1].cores = {1};
  CHECK(troubles(job) ==
        Texts{"warn threads: ranks 0-1: bound to 1 of the host's 16 hardware threads; 14 have no rank"});
}

TEST_CASE("more ranks than hardware threads are told, and more so where some threads are unused") {
  JobFacts job = job_on(1, 16);
  for (auto& rank : job.ranks) rank.cores = {0, 1};
  auto found = diagnose(job);
  const auto threads = [](const Finding& finding) { return finding.health == Health::warn; };
  auto warned = std::find_if(found.begin(), found.end(), threads);
  CHECK(warned->text == "16 ranks share 2 of the host's 16 hardware threads");
  CHECK(warned->remedy.find("--bind-to none") != std::string::npos);
  for (auto& rank : job.ranks) rank.hardware_threads = 2;
  found = diagnose(job);
  warned = std::find_if(found.begin(), found.end(), threads);
  CHECK(warned->remedy.find("fewer ranks") != std::string::npos);
}

TEST_CASE("one rank in a Slurm job of several tasks is told, all of them are not") {
  const std::map<std::string, std::string> in_job = {{"SLURM_JOB_ID", "17"},
                                                     {"SLURM_JOB_NUM_NODES", "2"},
                                                     {"SLURM_NTASKS", "4"},
                                                     {"SLURM_CPUS_ON_NODE", "16"}};
  RankFacts facts = healthy();
  facts.environment = in_job;
  CHECK(troubles(alone(facts)) == Texts{"warn slurm: job 17 of Slurm: 4 tasks on 2 hosts, but one rank"});
  JobFacts job = job_on(2, 2);
  for (auto& rank : job.ranks) rank.environment = in_job;
  CHECK(troubles(job) == Texts{});
  CHECK(doctor_report(job, diagnose(job)).find("job 17 of Slurm: 16 hardware threads of this host") !=
        std::string::npos);
}

TEST_CASE("a Slurm job's part of a host is what its ranks should run on, no less and no more") {
  JobFacts job = job_on(1, 2);
  const auto with = [&](const char* threads, std::vector<int> first, std::vector<int> second) {
    for (auto& rank : job.ranks) rank.environment = {{"SLURM_JOB_ID", "17"}, {"SLURM_CPUS_ON_NODE", threads}};
    job.ranks[0].cores = std::move(first);
    job.ranks[1].cores = std::move(second);
    return troubles(job);
  };
  CHECK(with("4", {0, 1}, {2, 3}) == Texts{});
  CHECK(with("4", {0}, {1}) ==
        Texts{"warn threads: ranks 0-1: bound to 1 of the job's 4 hardware threads; 2 have no rank"});
  CHECK(with("4", {0}, {0}) ==
        Texts{"warn threads: ranks 0-1: 2 ranks share 1 of the job's 4 hardware threads"});
  CHECK(with("4", threads_from(0, 16), threads_from(0, 16)) ==
        Texts{"warn threads: ranks 0-1: may run on 16 hardware threads, of which 4 are the job's"});
  CHECK(with("none", threads_from(0, 8), threads_from(8, 8)) == Texts{});
}

TEST_CASE("a Slurm job's memory bounds that of its ranks, a node's or a thread's") {
  JobFacts job = job_on(1, 2);
  const auto said = [&](const char* name, const char* megabytes) {
    for (auto& rank : job.ranks)
      rank.environment = {{"SLURM_JOB_ID", "17"}, {"SLURM_CPUS_ON_NODE", "16"}, {name, megabytes}};
    return doctor_report(job, diagnose(job));
  };
  CHECK(said("SLURM_MEM_PER_NODE", "4096").find("2.15GB a rank, of what the job may use") !=
        std::string::npos);
  CHECK(said("SLURM_MEM_PER_CPU", "256").find("2.15GB a rank, of what the job may use") != std::string::npos);
  CHECK(said("SLURM_MEM_PER_NODE", "9999999999999999999").find("of what the host has free") !=
        std::string::npos);
}

TEST_CASE("a container's quota of processor time below its hardware threads is told") {
  RankFacts facts = healthy();
  facts.cpu_quota = 2.5;
  CHECK(troubles(alone(facts)) ==
        Texts{"warn threads: the container may use 2.5 hardware threads' time, but runs on 16"});
  facts.cpu_quota = 16;
  CHECK(troubles(alone(facts)) == Texts{});
}

TEST_CASE("a tensor group that crosses hosts is told") {
  JobFacts job = job_on(2, 4);
  job.tensor = 4;
  CHECK(troubles(job) == Texts{});
  job.tensor = 8;
  CHECK(troubles(job) ==
        Texts{"warn placement: ranks 4-7: in a tensor group of 8 ranks that began on another host"});
}

TEST_CASE("slow or unlike instructions are told") {
  RankFacts facts = healthy();
  facts.instructions = "plain";
  CHECK(troubles(alone(facts)) == Texts{"warn instructions: plain (EPYC)"});
  JobFacts job = job_on(2, 1);
  job.ranks[1].instructions = "avx2";
  CHECK(troubles(job) == Texts{"warn instructions: rank 1: avx2 (EPYC), where rank 0 has avx512_bf16"});
}

TEST_CASE("variables that hurt are named with their value, harmless values are not") {
  RankFacts facts = healthy();
  facts.environment = {{"OMP_NUM_THREADS", "64"}, {"OMP_PROC_BIND", "close"}, {"DNNL_VERBOSE", "1"}};
  const Texts found = troubles(alone(facts));
  REQUIRE(found.size() == 3);
  CHECK(found[0].starts_with("warn environment: OMP_NUM_THREADS=64: more threads"));
  CHECK(found[1].starts_with("warn environment: OMP_PROC_BIND=close: OpenMP binds"));
  CHECK(found[2].starts_with("warn environment: DNNL_VERBOSE=1: "));
  facts.environment = {{"OMP_NUM_THREADS", "1"}, {"OMP_PROC_BIND", "false"}, {"DNNL_VERBOSE", "0"}};
  CHECK(troubles(alone(facts)) == Texts{});
}

TEST_CASE("GPUs and the build must go together, and NCCL takes one rank a device") {
  JobFacts job = job_on(1, 2);
  const auto with = [&](int gpus, bool built) {
    for (auto& rank : job.ranks) rank.gpus = gpus, rank.built_for_gpus = built;
    return troubles(job);
  };
  CHECK(with(8, false) == Texts{"warn gpus: ranks 0-1: 8 on the host, but built without CUDA and NCCL"});
  CHECK(with(0, true) == Texts{"warn gpus: ranks 0-1: built with CUDA and NCCL, but the host has no device"});
  CHECK(with(1, true) == Texts{"fail gpus: ranks 0-1: 1 for 2 ranks of the host"});
  CHECK(with(2, true) == Texts{});
}

TEST_CASE("ranks that cannot reach each other's memory are told, a rank alone on its host is not") {
  JobFacts job = job_on(1, 2);
  for (auto& rank : job.ranks) rank.reads_neighbour = false, rank.shared_folder_free = 1 << 20;
  CHECK(troubles(job) ==
        Texts{"warn shared memory: ranks 0-1: may not read the memory of other ranks of its host",
              "warn shared memory: ranks 0-1: {} free in /dev/shm"});
  RankFacts facts = healthy();
  facts.maps_neighbour = false;
  facts.shared_folder_free = 0;
  CHECK(troubles(alone(facts)) == Texts{});
}

TEST_CASE("few open files fail, a limit that many hosts outgrow is told") {
  RankFacts facts = healthy();
  facts.open_files = 100;
  CHECK(troubles(alone(facts)) == Texts{"fail limits: 100 open files"});
  facts.open_files = 1000;
  CHECK(troubles(alone(facts)) == Texts{"warn limits: 1000 open files"});
  JobFacts job = job_on(2, 1);
  job.ranks[1].locked_bytes = 65536;
  job.ranks[0].stack_bytes = 65536;
  CHECK(troubles(job) ==
        Texts{"fail limits: rank 0: {} of stack a thread", "warn limits: rank 1: {} of locked memory"});
}

TEST_CASE("memory is a rank's share of the lower of what is free and what the container may use") {
  RankFacts facts = healthy();
  facts.memory_limit = 2 * kGiB;
  JobFacts job = alone(facts);
  CHECK(doctor_report(job, diagnose(job)).find("2.15GB a rank, of what the container may use") !=
        std::string::npos);
  job.ranks[0].memory_available = kGiB / 8;
  CHECK(troubles(job) == Texts{"warn memory: {} a rank, of what the host has free"});
}

TEST_CASE("a run directory that cannot be written, is another on other hosts, or is full fails") {
  JobFacts job = job_on(2, 1);
  job.ranks[0].folder.failure = "cannot make /runs: Read-only file system";
  job.ranks[1].folder.sees_rank_0 = false;
  CHECK(troubles(job) == Texts{"fail run directory: rank 0: cannot make /runs: Read-only file system",
                               "fail run directory: rank 1: a file of rank 0's is not in /runs here"});
  RankFacts facts = healthy();
  facts.folder.free_bytes = 3 * kGiB;
  job = alone(facts);
  CHECK(troubles(job) == Texts{});
  job.checkpoint_bytes = kGiB;
  job.checkpoints = 3;
  CHECK(troubles(job) == Texts{"warn run directory: {} free in /runs, little for checkpoints"});
  job.checkpoint_bytes = 4 * kGiB;
  CHECK(troubles(job) == Texts{"fail run directory: {} free in /runs, less than one checkpoint"});
}

TEST_CASE("run directories on network and passing file systems, and slow ones, are told") {
  RankFacts facts = healthy();
  facts.folder.file_system = "nfs";
  facts.folder.sync_seconds = 2;
  CHECK(troubles(alone(facts)) == Texts{"warn run directory: {} to create, sync and rename a file in /runs",
                                        "warn run directory: /runs is on nfs"});
  facts.folder.sync_seconds = 0;
  facts.folder.file_system = "tmpfs";
  CHECK(troubles(alone(facts)) == Texts{"warn run directory: /runs is on tmpfs"});
}

TEST_CASE("a clock is told to be off only beyond what the exchange can know") {
  JobFacts job = job_on(2, 2);
  job.ranks[0].clock_error = 0;
  job.ranks[2].clock_ahead = -30;
  CHECK(troubles(job) == Texts{});  // nobody asked
  job.ranks[2].clock_error = 0.001;
  CHECK(troubles(job) == Texts{"warn clocks: rank 2: {} behind rank 0's"});
  job.ranks[2].clock_error = 60;
  CHECK(troubles(job) == Texts{});
}

TEST_CASE("the report has a line and a remedy for each finding, and the spread of sizes") {
  JobFacts job = job_on(2, 1);
  job.ranks[0].open_files = job.ranks[1].open_files = 100;
  job.ranks[1].memory_available = 32 * kGiB;
  const std::string report = doctor_report(job, diagnose(job));
  CHECK(
      report.find("fail  limits         ranks 0-1: 100 open files\n                     -> ulimit -n 1024") !=
      std::string::npos);
  CHECK(report.find("ranks 0-1: 34.4GB to 68.7GB a rank") != std::string::npos);
  CHECK(report.find("\n1 failed, 0 warnings, ") != std::string::npos);
}

TEST_CASE("a rank's facts arrive at rank 0 as they left, whatever bytes names have") {
  RankFacts facts = healthy();
  facts.environment = {{"OMP_NUM_THREADS", "\xff"}};
  facts.folder.failure = "no\nspace";
  facts.clock_ahead = 0.1;
  const RankFacts back = read_rank_facts(write_rank_facts(facts));
  CHECK(back.cores == facts.cores);
  CHECK(back.locked_bytes == kUnlimited);
  CHECK(back.folder.failure == "no\nspace");
  CHECK(back.clock_ahead == 0.1);
  CHECK(back.environment.at("OMP_NUM_THREADS") == "\xef\xbf\xbd");
}

namespace {

void write(const std::filesystem::path& path, const std::string& text) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path) << text;
}

}  // namespace

TEST_CASE("processor, memory and devices are read from the files of Linux") {
  const TemporaryFolder root;
  write(root.path() / "proc/cpuinfo", "processor\t: 0\nmodel name\t: AMD EPYC\nmodel name\t: other\n");
  write(root.path() / "proc/meminfo", "MemTotal: 10 kB\nMemAvailable:    2048 kB\n");
  for (const char* name : {"nvidia0", "nvidia11", "nvidiactl", "nvidia-uvm", "null"})
    write(root.path() / "dev" / name, "");
  RankFacts facts;
  read_host_files(root.path(), facts);
  CHECK(facts.processor == "AMD EPYC");
  CHECK(facts.memory_available == 2048 * 1024);
  CHECK(facts.memory_limit == kUnlimited);
  CHECK(facts.cpu_quota == 0);
  CHECK(facts.gpus == 2);
  CHECK(facts.shared_folder_free == 0);
}

TEST_CASE("the lowest limit from the process's control group up counts, in both versions of them") {
  const TemporaryFolder root;
  const auto groups = root.path() / "sys/fs/cgroup";
  write(root.path() / "proc/self/cgroup", "0::/jobs/mine\n");
  write(groups / "jobs/mine/memory.max", "max\n");
  write(groups / "jobs/memory.max", "1000000\n");
  write(groups / "jobs/cpu.max", "250000 100000\n");
  write(groups / "jobs/mine/cpu.max", "max 100000\n");
  RankFacts facts;
  read_host_files(root.path(), facts);
  CHECK(facts.memory_limit == 1000000);
  CHECK(facts.cpu_quota == 2.5);

  write(root.path() / "proc/self/cgroup", "4:memory:/mine\n3:cpu,cpuacct:/mine\n1:name=systemd:/x\n");
  write(groups / "memory/memory.limit_in_bytes", "9223372036854771712\n");
  write(groups / "memory/mine/memory.limit_in_bytes", "3000000\n");
  write(groups / "cpu,cpuacct/mine/cpu.cfs_quota_us", "50000\n");
  write(groups / "cpu,cpuacct/mine/cpu.cfs_period_us", "100000\n");
  write(groups / "cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
  read_host_files(root.path(), facts);
  CHECK(facts.memory_limit == 3000000);
  CHECK(facts.cpu_quota == 0.5);
}

TEST_CASE("a folder is tried with a lock, a synced file and a rename, and left as it was") {
  const TemporaryFolder folder;
  PosixFileSystem files;
  FolderFacts facts{.path = folder.path()};
  {
    const FolderProbe probe(files, facts);
    CHECK(facts.failure == "");
    CHECK(facts.written);
    CHECK(FolderProbe::is_in(files, folder.path(), probe.name()));
  }
  CHECK(std::filesystem::is_empty(folder.path()));
  FolderFacts missing{.path = folder.path() / "missing"};
  const FolderProbe refused(files, missing);
  CHECK(missing.failure.find("missing") != std::string::npos);
  CHECK(refused.name() == "");
}

TEST_CASE("a run directory that is not there yet is made in the nearest folder that is") {
  const TemporaryFolder folder;
  CHECK(existing_part(folder.path() / "a" / "b" / "") == folder.path());
  CHECK(existing_part(folder.path() / ".") == folder.path());
  CHECK(existing_part("/") == "/");
  FolderFacts facts{.path = folder.path()};
  measure_folder(facts);
  CHECK(facts.free_bytes > 0);
}
