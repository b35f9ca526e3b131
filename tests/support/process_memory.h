// What the system says of this process's memory.
#pragma once

#include <cstdint>
#include <fstream>
#include <string>

namespace drover {

// The thread sanitizer keeps anonymous memory of its own for every page of a mapped file that is touched.
#ifdef __SANITIZE_THREAD__
inline constexpr bool kAnonymousMemoryIsOurs = false;
#else
inline constexpr bool kAnonymousMemoryIsOurs = true;
#endif

namespace internal {

inline std::int64_t status_kilobytes(const std::string& key) {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    if (word != key) continue;
    std::int64_t kilobytes = 0;
    status >> kilobytes;
    return kilobytes;
  }
  return -1;
}

}  // namespace internal

// That no file backs.
inline std::int64_t anonymous_kilobytes() { return internal::status_kilobytes("RssAnon:"); }

// How much the process grew at the most while `work` ran, above what was resident before.
template <class Work>
std::int64_t growth_kilobytes(Work work) {
  std::ofstream("/proc/self/clear_refs") << "5";  // the peak starts from here
  const std::int64_t before = internal::status_kilobytes("VmRSS:");
  work();
  return internal::status_kilobytes("VmHWM:") - before;
}

}  // namespace drover
