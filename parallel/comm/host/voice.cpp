#include "parallel/comm/host/voice.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdio>

namespace drover {

namespace {

// A name without a file, of which the system lets one process at a time have one; nobody connects to it. It is free
// again when the process ends, so the descriptor is never closed. True where the system cannot tell.
bool is_first() noexcept {
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  const int length = std::snprintf(name.sun_path + 1, sizeof(name.sun_path) - 1, "drover of %d",
                                   static_cast<int>(getppid()));
  const int descriptor = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return true;
  const std::size_t bytes = offsetof(sockaddr_un, sun_path) + 1 + static_cast<std::size_t>(length);
  return bind(descriptor, reinterpret_cast<const sockaddr*>(&name), static_cast<socklen_t>(bytes)) == 0 ||
         errno != EADDRINUSE;
}

}  // namespace

void say_for_host(const std::string& text) noexcept {
  if (!is_first()) return;
  std::fflush(stdout);
  std::fprintf(stderr, "%s\n", text.c_str());
  std::fflush(stderr);
}

}  // namespace drover
