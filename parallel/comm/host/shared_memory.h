// Memory between processes of one host and one user: pages that several have mapped, and reading what another
// has in its own. Nothing of it has a name in a file system or outlives the processes, and /dev/shm is not used.
// Neither works everywhere (hardened kernels, containers with processes of their own): callers fall back.
#pragma once

#include <cstdint>
#include <utility>

namespace drover {

class SharedMemory {
 public:
  // Where another process finds it, as long as the maker's descriptor is open.
  struct Handle {
    std::int32_t process = 0, descriptor = -1;
    bool operator==(const Handle&) const = default;
  };

  static constexpr std::int64_t kHugePage = 2 << 20;

  SharedMemory() = default;  // none
  ~SharedMemory();
  SharedMemory(SharedMemory&& other) noexcept { swap(other); }
  SharedMemory& operator=(SharedMemory&& other) noexcept {
    swap(other);
    return *this;
  }

  // Zeros; pages are taken when they are first touched. `none` when the system gives no such memory.
  static SharedMemory make(std::int64_t bytes);
  // Another process's, of exactly this size. `none` when it cannot be had. Ask only about processes known to
  // run on this host (read_process).
  static SharedMemory open(const Handle& handle, std::int64_t bytes);

  bool none() const { return data_ == nullptr; }
  std::byte* data() const { return data_; }
  std::int64_t bytes() const { return bytes_; }
  Handle handle() const { return handle_; }
  void close_descriptor() noexcept;  // nobody else can open it any more

  // Whole huge pages, taken now, for all processes that have or will map this. False when the system gives no
  // such pages: nothing is taken. Only while the descriptor is open, like the next.
  bool take_pages(std::int64_t begin, std::int64_t bytes) noexcept;
  // Given back to the system; zeros from here on, in all processes.
  void drop_pages(std::int64_t begin, std::int64_t bytes) noexcept;

 private:
  void map(std::int64_t bytes);
  void swap(SharedMemory& other) noexcept;
  std::byte* data_ = nullptr;
  std::int64_t bytes_ = 0;
  Handle handle_;
};

// False when the process has ended, is another user's, on another host, or may not be read.
bool read_process(std::int32_t process, std::uint64_t address, void* to, std::int64_t bytes) noexcept;
std::int32_t this_process() noexcept;
// Under Yama's ptrace_scope 1 only descendants may be read; this lets the user's other processes too.
void allow_reading_this_process() noexcept;

}  // namespace drover
