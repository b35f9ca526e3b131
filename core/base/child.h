// Work in a process of its own, for what a process can do only once.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <optional>
#include <type_traits>

namespace drover {

// What `work` returns in a child process, which then ends without running destructors or exit handlers; none where the
// child could not be made or died. Blocks until it has ended. For a caller that has one thread: the child has no other.
template <class Work>
auto in_child(Work work) -> std::optional<std::invoke_result_t<Work>> {
  using Result = std::invoke_result_t<Work>;
  static_assert(std::is_trivially_copyable_v<Result>);
  int ends[2];
  if (pipe(ends) != 0) return std::nullopt;
  const pid_t child = fork();
  if (child == 0) {
    const Result result = work();
    _exit(write(ends[1], &result, sizeof result) == sizeof result ? 0 : 1);
  }
  close(ends[1]);
  Result result{};
  const bool whole = read(ends[0], &result, sizeof result) == sizeof result;
  close(ends[0]);
  if (child > 0) waitpid(child, nullptr, 0);
  return whole ? std::optional(result) : std::nullopt;
}

}  // namespace drover
