#include "core/files/filesystem.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <system_error>

namespace drover {
namespace {

std::string_view remedy(int code) {
  switch (code) {
    case ENOSPC:
    case EDQUOT:
      return "; free space there, or use another disk";
    case ENOENT:
      return "; check the name and its folder";
    case EEXIST:
      return "; something has this name already, move it away or choose another";
    case ENOTDIR:
      return "; a part of the path is a file, choose another";
    case EISDIR:
      return "; a file belongs there, move the directory away or name another";
    case EACCES:
    case EPERM:
      return "; check the owner and the permissions";
    case EROFS:
      return "; the file system is mounted read-only";
    case EMFILE:
      return "; raise the limit of open files (ulimit -n)";
    case EIO:
      return "; the disk or its link is failing, see the kernel's log";
    case ELOOP:
      return "; symbolic links are not followed here, put the file itself there";
    default:
      return "";
  }
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

template <class Call>
auto retry(Call call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

class PosixFile final : public File {
 public:
  PosixFile(std::filesystem::path path, int fd) : path_(std::move(path)), fd_(fd) {}

  const std::filesystem::path& path() const override { return path_; }

  std::int64_t size() const override {
    struct stat status {};
    if (::fstat(fd_.get(), &status) != 0) throw FileError("look at", path_, errno);
    return status.st_size;
  }

  void read(std::span<std::byte> out, std::int64_t offset) const override {
    while (!out.empty()) {
      const auto got = retry([&] { return ::pread(fd_.get(), out.data(), out.size(), offset); });
      if (got < 0) throw FileError(cat("read ", out.size(), " bytes at ", offset, " of"), path_, errno);
      if (got == 0)
        throw input_error("cannot read ", out.size(), " bytes at ", offset, " of ", path_.string(),
                          ": it ends at ", size(), "; it is truncated, restore it");
      out = out.subspan(static_cast<std::size_t>(got));
      offset += got;
    }
  }

  void write(std::span<const std::byte> bytes, std::int64_t offset) override {
    while (!bytes.empty()) {
      const auto put = retry([&] { return ::pwrite(fd_.get(), bytes.data(), bytes.size(), offset); });
      if (put < 0) throw FileError(cat("write ", bytes.size(), " bytes at ", offset, " to"), path_, errno);
      bytes = bytes.subspan(static_cast<std::size_t>(put));
      offset += put;
    }
  }

  void truncate(std::int64_t size) override {
    if (retry([&] { return ::ftruncate(fd_.get(), size); }) != 0) {
      throw FileError(cat("set the size to ", size, " of"), path_, errno);
    }
  }

  void sync() override {
    if (retry([&] { return ::fsync(fd_.get()); }) != 0) throw FileError("sync", path_, errno);
  }

  FileView map() const override {
    const auto bytes = static_cast<std::size_t>(size());
    if (bytes == 0) return {};
    void* start = ::mmap(nullptr, bytes, PROT_READ, MAP_SHARED, fd_.get(), 0);
    if (start == MAP_FAILED) throw FileError(cat("map ", bytes, " bytes of"), path_, errno);
    return {
        std::shared_ptr<const void>(start, [bytes](const void* p) { ::munmap(const_cast<void*>(p), bytes); }),
        {static_cast<const std::byte*>(start), bytes}};
  }

 private:
  std::filesystem::path path_;
  Descriptor fd_;
};

int open_flags(OpenMode mode) {
  // Non-blocking, so that a pipe put in a file's place is refused below and does not hang the run.
  constexpr int kCommon = O_CLOEXEC | O_NONBLOCK;
  switch (mode) {
    case OpenMode::read:
      return kCommon | O_RDONLY;
    case OpenMode::read_no_follow:
      return kCommon | O_RDONLY | O_NOFOLLOW;
    case OpenMode::update:
      return kCommon | O_RDWR;
    case OpenMode::create:
      return kCommon | O_RDWR | O_CREAT | O_EXCL;
  }
  return kCommon;
}

}  // namespace

FileError::FileError(std::string_view action, const std::filesystem::path& path, int code)
    : Error(Exit::input, cat("cannot ", action, " ", path.string(), ": ",
                             std::generic_category().message(code), remedy(code))),
      code_(code) {}

std::unique_ptr<File> PosixFileSystem::open(const std::filesystem::path& path, OpenMode mode) {
  const int fd = retry([&] { return ::open(path.c_str(), open_flags(mode), 0644); });
  if (fd < 0) throw FileError(mode == OpenMode::create ? "create" : "open", path, errno);
  auto file = std::make_unique<PosixFile>(path, fd);
  struct stat status {};
  if (::fstat(fd, &status) != 0) throw FileError("look at", path, errno);
  if (!S_ISREG(status.st_mode))
    throw input_error("cannot open ", path.string(), ": it is not a regular file; name one that is");
  return file;
}

std::optional<FileKind> PosixFileSystem::kind(const std::filesystem::path& path) const {
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0) {
    if (errno == ENOENT || errno == ENOTDIR) return std::nullopt;
    throw FileError("look at", path, errno);
  }
  if (S_ISREG(status.st_mode)) return FileKind::regular;
  return S_ISDIR(status.st_mode) ? FileKind::directory : FileKind::other;
}

std::vector<std::string> PosixFileSystem::list(const std::filesystem::path& directory) const {
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(::opendir(directory.c_str()), &::closedir);
  if (!stream) throw FileError("list", directory, errno);
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = ::readdir(stream.get())) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  if (errno != 0) throw FileError("list", directory, errno);
  std::sort(names.begin(), names.end());
  return names;
}

void PosixFileSystem::rename(const std::filesystem::path& from, const std::filesystem::path& to) {
  if (::rename(from.c_str(), to.c_str()) != 0)
    throw FileError(cat("rename ", from.string(), " to"), to, errno);
}

void PosixFileSystem::remove_file(const std::filesystem::path& path) {
  if (::unlink(path.c_str()) != 0) throw FileError("remove", path, errno);
}

void PosixFileSystem::make_directory(const std::filesystem::path& path) {
  if (::mkdir(path.c_str(), 0755) != 0) throw FileError("make the directory", path, errno);
}

void PosixFileSystem::remove_directory(const std::filesystem::path& path) {
  if (::rmdir(path.c_str()) != 0) throw FileError("remove the directory", path, errno);
}

void PosixFileSystem::sync_directory(const std::filesystem::path& directory) {
  const Descriptor fd(retry([&] { return ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); }));
  if (fd.get() < 0) throw FileError("open the directory", directory, errno);
  if (retry([&] { return ::fsync(fd.get()); }) != 0) throw FileError("sync the directory", directory, errno);
}

void remove_flat_directory(FileSystem& files, const std::filesystem::path& directory) {
  for (const std::string& name : files.list(directory)) files.remove_file(directory / name);
  files.remove_directory(directory);
}

std::filesystem::path folder_of(const std::filesystem::path& path) {
  return path.has_parent_path() ? path.parent_path() : ".";
}

std::optional<std::int64_t> available_bytes(const std::filesystem::path& folder) {
  std::error_code failure;
  const std::filesystem::space_info space = std::filesystem::space(folder, failure);
  if (failure) return std::nullopt;
  return static_cast<std::int64_t>(space.available);
}

std::string read_text(FileSystem& files, const std::filesystem::path& path, std::int64_t limit,
                      OpenMode mode) {
  const auto file = files.open(path, mode);
  const std::int64_t size = file->size();
  if (size > limit)
    throw input_error(path.string(), " has ", size, " bytes, more than the ", limit,
                      " it may have; is it the right file?");
  std::string text(static_cast<std::size_t>(size), '\0');
  file->read(std::as_writable_bytes(std::span(text)), 0);
  return text;
}

void write_new_text(FileSystem& files, const std::filesystem::path& path, std::string_view text) {
  const auto file = files.open(path, OpenMode::create);
  file->write(bytes_of(text), 0);
  file->sync();
}

namespace {

// Best effort: another error is on its way.
void remove_if_there(FileSystem& files, const std::filesystem::path& path) noexcept {
  try {
    if (files.exists(path)) files.remove_file(path);
  } catch (const Error&) {
  }
}

}  // namespace

void write_text_atomically(FileSystem& files, const std::filesystem::path& path, std::string_view text) {
  std::filesystem::path next = path;
  next += ".next";
  if (files.exists(next)) files.remove_file(next);  // left by a crash
  try {
    write_new_text(files, next, text);
    files.rename(next, path);
  } catch (const Error&) {
    remove_if_there(files, next);
    throw;
  }
  files.sync_directory(folder_of(path));
}

bool is_base_name(std::string_view name) {
  return !name.empty() && name.size() <= 255 && name != "." && name != ".." &&
         name.find_first_of(std::string_view("/\0", 2)) == std::string_view::npos;
}

}  // namespace drover
