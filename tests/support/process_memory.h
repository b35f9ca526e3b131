// Memory of this process that no file backs.
#pragma once

#include <cstdint>
#include <fstream>
#include <string>

namespace drover {

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
