// Memory of this process that no file backs.
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

inline std::int64_t anonymous_kilobytes() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    if (word != "RssAnon:") continue;
    std::int64_t kilobytes = 0;
    status >> kilobytes;
    return kilobytes;
  }
  return -1;
}

}  // namespace drover
