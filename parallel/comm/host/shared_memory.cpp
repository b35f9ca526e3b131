#include "parallel/comm/host/shared_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/base/error.h"

namespace drover {

namespace {

constexpr std::size_t kHugePage = SharedMemory::kHugePage;
// MADV_COLLAPSE, of Linux since 6.1 and of glibc since 2.37. Unlike MADV_HUGEPAGE it makes huge pages of shared
// memory under every setting of transparent_hugepage/shmem_enabled but `deny`.
constexpr int kCollapse = 25;

}  // namespace

SharedMemory::~SharedMemory() {
  if (data_ != nullptr) munmap(data_, static_cast<std::size_t>(bytes_));
  close_descriptor();
}

void SharedMemory::swap(SharedMemory& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  std::swap(handle_, other.handle_);
}

void SharedMemory::close_descriptor() noexcept {
  if (handle_.descriptor >= 0) close(handle_.descriptor);
  handle_.descriptor = -1;
}

// At a multiple of 2 MiB, so that huge pages of the file are such in this process too: cut out of a longer range of
// addresses.
void SharedMemory::map(std::int64_t bytes) {
  const auto size = static_cast<std::size_t>(bytes), reserved = size + kHugePage;
  void* const begin = mmap(nullptr, reserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (begin == MAP_FAILED) return;
  const std::size_t before = (kHugePage - reinterpret_cast<std::uintptr_t>(begin) % kHugePage) % kHugePage;
  std::byte* const place = static_cast<std::byte*>(begin) + before;
  void* const mapped = mmap(place, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE | MAP_FIXED,
                            handle_.descriptor, 0);
  if (mapped == MAP_FAILED) {
    munmap(begin, reserved);
    return;
  }
  if (before > 0) munmap(begin, before);
  munmap(place + size, kHugePage - before);
  data_ = place;
  bytes_ = bytes;
}

SharedMemory SharedMemory::make(std::int64_t bytes) {
  SharedMemory memory;
  memory.handle_ = {this_process(), memfd_create("drover", MFD_CLOEXEC)};
  if (memory.handle_.descriptor >= 0 && ftruncate(memory.handle_.descriptor, bytes) == 0) memory.map(bytes);
  return memory;
}

SharedMemory SharedMemory::open(const Handle& handle, std::int64_t bytes) {
  SharedMemory memory;
  const std::string path = cat("/proc/", handle.process, "/fd/", handle.descriptor);
  memory.handle_ = {this_process(), ::open(path.c_str(), O_RDWR | O_CLOEXEC)};
  struct stat status {};
  if (memory.handle_.descriptor >= 0 && fstat(memory.handle_.descriptor, &status) == 0 &&
      status.st_size == bytes)
    memory.map(bytes);
  memory.close_descriptor();
  return memory;
}

bool SharedMemory::take_pages(std::int64_t begin, std::int64_t bytes) noexcept {
  // A page of 4 KiB in each, to be made huge: the system does not collapse what is empty.
  for (std::int64_t at = 0; at < bytes; at += kHugePage) data_[begin + at] = std::byte{};
  if (madvise(data_ + begin, static_cast<std::size_t>(bytes), kCollapse) == 0) return true;
  drop_pages(begin, bytes);
  return false;
}

void SharedMemory::drop_pages(std::int64_t begin, std::int64_t bytes) noexcept {
  fallocate(handle_.descriptor, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, begin, bytes);
}

bool read_process(std::int32_t process, std::uint64_t address, void* to, std::int64_t bytes) noexcept {
  for (std::int64_t done = 0; done < bytes;) {
    const iovec here{static_cast<std::byte*>(to) + done, static_cast<std::size_t>(bytes - done)};
    const iovec there{reinterpret_cast<void*>(address + static_cast<std::uint64_t>(done)), here.iov_len};
    const ssize_t got = process_vm_readv(process, &here, 1, &there, 1, 0);
    if (got <= 0) return false;
    done += got;
  }
  return true;
}

std::int32_t this_process() noexcept { return getpid(); }

void allow_reading_this_process() noexcept { prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0); }

}  // namespace drover
