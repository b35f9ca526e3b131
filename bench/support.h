// What benchmarks share: the middle of some timings, and options of the form --name=value.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

namespace drover {

inline double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// option: with its dashes and "=".
inline std::int64_t value_of(int count, char** arguments, const std::string& option, std::int64_t standard) {
  for (int i = 1; i < count; ++i)
    if (const std::string argument = arguments[i]; argument.starts_with(option))
      return std::atoll(argument.c_str() + option.size());
  return standard;
}

}  // namespace drover
