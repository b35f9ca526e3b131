// What a fuzz target demands of the code it calls: bytes from outside are read, or are an Error that blames them and
// says something. Whatever else is thrown ends the process, as a sanitizer's finding does. Time and memory are
// limited by scripts/fuzz.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "core/base/error.h"

namespace drover {

inline std::string_view text_of(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

[[noreturn]] inline void report_defect(std::string_view what, std::string_view detail = "") {
  std::fprintf(stderr, "defect: %.*s: %.*s\n", static_cast<int>(what.size()), what.data(),
               static_cast<int>(detail.size()), detail.data());
  std::abort();
}

// Calls `read`; true if it returned. `blamed` is the exit code of a wrong input, whose message names `name`.
template <class Read>
bool answers(Exit blamed, std::string_view name, Read read) {
  try {
    read();
    return true;
  } catch (const Error& error) {
    const std::string_view message = error.what();
    if (error.exit() != blamed) report_defect("an error of another kind", message);
    if (message.find(name) == std::string_view::npos) report_defect("a message without its file", message);
  } catch (const std::exception& error) {
    report_defect("an exception that is no Error", error.what());
  }
  return false;
}

}  // namespace drover
