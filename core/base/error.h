// How Drover fails. Three kinds (docs/design.md, errors):
//   - the user or the world is wrong: throw `Error` with a message that has the values, the key or path, and what
//     to do;
//   - we are wrong: DROVER_CHECK names the invariant and throws `Error` with Exit::internal;
//   - expected absence: std::optional, never an exception.
// Thread rules: everything here is a value or a pure function.
#pragma once

#include <cstdint>
#include <sstream>
#include <stdexcept>
#include <string>

namespace drover {

// Process exit codes, the same through mpirun, srun and `drover launch`.
enum class Exit : int {
  done = 0,
  usage = 2,        // command line or configuration
  input = 3,        // data, tokenizer or checkpoint
  internal = 70,    // our mistake
  lost = 74,        // a rank was lost, stopped or unreachable: start again
  run_again = 75,   // saved and stopped early
  bad_device = 76,  // this GPU or host should not be used again
  diverged = 77,    // loss or gradient not finite, beyond the policy
  crash_loop = 78,  // the supervisor gave up, diagnosis printed
};

// Joins its arguments with operator<<: cat("row ", 3, " of ", n). (g++ 12 has no <format>, and fmt must not
// reach headers that CUDA sources include.)
template <class... Parts>
std::string cat(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return std::move(out).str();
}

class Error : public std::runtime_error {
 public:
  Error(Exit exit, const std::string& message) : std::runtime_error(message), exit_(exit) {}
  Exit exit() const { return exit_; }

 private:
  Exit exit_;
};

// Built, not thrown, so that a reader sees `throw` at the place where control leaves.
template <class... Parts>
Error usage_error(const Parts&... parts) {
  return Error(Exit::usage, cat(parts...));
}
template <class... Parts>
Error input_error(const Parts&... parts) {
  return Error(Exit::input, cat(parts...));
}

// For messages: the multiples of `unit` around a value that is none, "96 and 128"; below `unit` only that.
std::string nearest_multiples(std::int64_t value, std::int64_t unit);

// Throws Error{Exit::internal}: "parallel/mesh/mesh.cpp:31: broken invariant: size > 0: <detail>".
[[noreturn]] void fail_check(const char* file, int line, const char* condition, const std::string& detail);

}  // namespace drover

// An invariant of ours, kept in release builds. The detail arguments are only evaluated on failure.
#define DROVER_CHECK(condition, ...)                                                                    \
  do {                                                                                                  \
    if (!(condition)) ::drover::fail_check(__FILE__, __LINE__, #condition, ::drover::cat(__VA_ARGS__)); \
  } while (false)
