#include "parallel/shared_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/error.h"

namespace drover {

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

void SharedMemory::map(std::int64_t bytes) {
  void* const mapped = mmap(nullptr, static_cast<std::size_t>(bytes), PROT_READ | PROT_WRITE, MAP_SHARED,
                            handle_.descriptor, 0);
  if (mapped == MAP_FAILED) return;
  data_ = static_cast<std::byte*>(mapped);
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
