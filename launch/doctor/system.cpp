#include "launch/doctor/system.h"

#include <sched.h>
#include <sys/resource.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>

#include "core/base/error.h"

namespace drover {

namespace {

namespace fs = std::filesystem;

// The value after "name :" or "name:" in a file of such lines; empty when there is none.
std::string value_in(const fs::path& path, const std::string& name) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const auto colon = line.find(':');
    if (colon == std::string::npos || line.compare(0, name.size(), name) != 0) continue;
    const auto value = line.find_first_not_of(" \t", colon + 1);
    return value == std::string::npos ? "" : line.substr(value);
  }
  return "";
}

std::string first_line(const fs::path& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// Folders of this process's control group for the controller, from its own up to the root. Version 2 has one tree;
// version 1 one for each controller.
std::vector<fs::path> control_groups(const fs::path& root, const std::string& controller) {
  std::vector<fs::path> folders;
  std::ifstream file(root / "proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    const auto first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    if (!controllers.empty() && ("," + controllers + ",").find("," + controller + ",") == std::string::npos)
      continue;
    const fs::path tree = root / "sys/fs/cgroup" / controllers;
    fs::path group = fs::path(line.substr(second + 1)).relative_path();
    for (; !group.empty(); group = group.parent_path()) folders.push_back(tree / group);
    folders.push_back(tree);
  }
  return folders;
}

std::int64_t memory_limit(const fs::path& root) {
  constexpr std::int64_t kNoLimit = std::int64_t{1} << 60;  // version 1 says almost 2^63
  std::int64_t least = kUnlimited;
  for (const fs::path& group : control_groups(root, "memory"))
    for (const char* name : {"memory.max", "memory.limit_in_bytes"}) {
      const std::int64_t limit = std::atoll(first_line(group / name).c_str());
      if (limit > 0 && limit < kNoLimit) least = std::min(least, limit);
    }
  return least;
}

// Version 2 has "200000 100000" or "max 100000" in one file, version 1 the two numbers in two.
double quota_of(const fs::path& group) {
  std::istringstream both(first_line(group / "cpu.max") + " " + first_line(group / "cpu.cfs_quota_us") + " " +
                          first_line(group / "cpu.cfs_period_us"));
  double quota = 0, period = 0;
  return both >> quota >> period && quota > 0 && period > 0 ? quota / period : 0;
}

double cpu_quota(const fs::path& root) {
  double least = 0;
  for (const fs::path& group : control_groups(root, "cpu"))
    if (const double quota = quota_of(group); quota > 0 && (least == 0 || quota < least)) least = quota;
  return least;
}

// nvidia0, nvidia1 ..., but not nvidiactl.
int count_gpus(const fs::path& devices) {
  std::error_code none;
  int count = 0;
  for (const auto& entry : fs::directory_iterator(devices, none)) {
    const std::string name = entry.path().filename();
    count += name.size() > 6 && name.compare(0, 6, "nvidia") == 0 &&
             name.find_first_not_of("0123456789", 6) == std::string::npos;
  }
  return count;
}

std::int64_t free_bytes(const fs::path& folder) {
  std::error_code error;
  const fs::space_info space = fs::space(folder, error);
  return error ? 0 : static_cast<std::int64_t>(std::min<std::uintmax_t>(space.available, kUnlimited));
}

std::int64_t limit_of(int resource) {
  rlimit limit{};
  if (getrlimit(static_cast<__rlimit_resource>(resource), &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
    return kUnlimited;
  return static_cast<std::int64_t>(limit.rlim_cur);
}

std::vector<int> allowed_hardware_threads() {
  cpu_set_t set;
  CPU_ZERO(&set);
  sched_getaffinity(0, sizeof set, &set);
  std::vector<int> allowed;
  for (int core = 0; core < CPU_SETSIZE; ++core)
    if (CPU_ISSET(core, &set)) allowed.push_back(core);
  return allowed;
}

// f_type of statfs(2), of the kinds that the report speaks of.
struct FileSystemName {
  std::uint32_t type;
  const char* name;
};
constexpr FileSystemName kFileSystems[] = {
    {0x6969, "nfs"},       {0xff534d42, "smb"},    {0xfe534d42, "smb"}, {0x517b, "smb"},
    {0x65735546, "fuse"},  {0x01021997, "9p"},     {0x5346414f, "afs"}, {0x01021994, "tmpfs"},
    {0x858458f6, "tmpfs"}, {0x794c7630, "overlay"}};

const char* file_system_name(std::uint32_t type) {
  for (const auto& [known, name] : kFileSystems)
    if (known == type) return name;
  return "";
}

}  // namespace

void read_host_files(const fs::path& root, RankFacts& facts) {
  facts.processor = value_in(root / "proc/cpuinfo", "model name");
  facts.memory_available = 1024 * std::atoll(value_in(root / "proc/meminfo", "MemAvailable").c_str());
  facts.memory_limit = memory_limit(root);
  facts.cpu_quota = cpu_quota(root);
  facts.shared_folder_free = free_bytes(root / "dev/shm");
  facts.gpus = count_gpus(root / "dev");
}

void ask_system(RankFacts& facts) {
  facts.hardware_threads = static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
  facts.cores = allowed_hardware_threads();
  facts.open_files = limit_of(RLIMIT_NOFILE);
  facts.locked_bytes = limit_of(RLIMIT_MEMLOCK);
  facts.stack_bytes = limit_of(RLIMIT_STACK);
  facts.core_bytes = limit_of(RLIMIT_CORE);
  for (const std::string& name : doctor_variables())
    if (const char* const value = std::getenv(name.c_str())) facts.environment[name] = value;
}

fs::path existing_part(const fs::path& path) {
  std::error_code error;
  fs::path part = fs::absolute(path, error).lexically_normal();
  if (!part.has_filename()) part = part.parent_path();  // what ends in a slash
  while (part.has_relative_path() && !fs::exists(part, error)) part = part.parent_path();
  return part;
}

void measure_folder(FolderFacts& facts) {
  facts.free_bytes = free_bytes(facts.path);
  struct statfs status {};
  if (statfs(facts.path.c_str(), &status) == 0)
    facts.file_system = file_system_name(static_cast<std::uint32_t>(status.f_type));
}

}  // namespace drover
