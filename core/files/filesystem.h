// Every byte of a checkpoint, a token store or a run directory goes through FileSystem, so that tests can
// record, replay and break it. PosixFileSystem is the real one; tests/support/recording_filesystem.h forgets
// what was not synced and fails on demand.
//
// Errors: FileError (exit `input`) with the path, what was tried, the system's reason and a remedy. Nothing
// is retried except EINTR and short transfers. Thread rules: a FileSystem may be used by many threads. A File
// too, where they touch different bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/error.h"

namespace drover {

class FileError : public Error {
 public:
  // `action` reads "write 4096 bytes at 8192 to"; `code` is an errno.
  FileError(std::string_view action, const std::filesystem::path& path, int code);
  int code() const { return code_; }

 private:
  int code_;
};

enum class OpenMode : std::uint8_t {
  read,            // an existing regular file; symbolic links are followed (what a user named)
  read_no_follow,  // the same, but a symbolic link is an error (what a file from outside named)
  update,          // an existing regular file, to read and write
  create,          // a new file, to read and write; an error (EEXIST) if anything has the name
};

// A file's bytes at the time of mapping, read-only. Valid while `owner` lives, also after the File is gone.
// If somebody truncates the file, touching what was cut off kills the process: map only what nobody rewrites.
struct FileView {
  std::shared_ptr<const void> owner;
  std::span<const std::byte> bytes;
};

// An open regular file. Closed by the destructor, which reports nothing: what must be on disk was synced
// before.
class File {
 public:
  virtual ~File() = default;

  virtual const std::filesystem::path& path() const = 0;
  virtual std::int64_t size() const = 0;
  // Exactly out.size() bytes; a file that ends before is a FileError.
  virtual void read(std::span<std::byte> out, std::int64_t offset) const = 0;
  // Exactly bytes.size() bytes; a file grows as needed, and gaps read as zeros.
  virtual void write(std::span<const std::byte> bytes, std::int64_t offset) = 0;
  virtual void truncate(std::int64_t size) = 0;
  // Content and size reach the disk before this returns. The file's name needs sync_directory.
  virtual void sync() = 0;
  virtual FileView map() const = 0;
};

enum class FileKind : std::uint8_t { regular, directory, other };

class FileSystem {
 public:
  virtual ~FileSystem() = default;

  virtual std::unique_ptr<File> open(const std::filesystem::path& path, OpenMode mode) = 0;
  // Of the name itself, not of what a symbolic link points to. None if nothing has the name.
  virtual std::optional<FileKind> kind(const std::filesystem::path& path) const = 0;
  // Names in a directory, sorted bytewise, without "." and "..".
  virtual std::vector<std::string> list(const std::filesystem::path& directory) const = 0;
  // Atomic. A file replaces a file; a directory only an empty directory.
  virtual void rename(const std::filesystem::path& from, const std::filesystem::path& to) = 0;
  virtual void remove_file(
      const std::filesystem::path& path) = 0;  // also a symbolic link, never what it points to
  virtual void make_directory(const std::filesystem::path& path) = 0;  // the parent exists, the name is free
  virtual void remove_directory(const std::filesystem::path& path) = 0;  // an empty one
  // Names made, renamed and removed in the directory reach the disk before this returns.
  virtual void sync_directory(const std::filesystem::path& directory) = 0;

  bool exists(const std::filesystem::path& path) const { return kind(path).has_value(); }
};

class PosixFileSystem final : public FileSystem {
 public:
  std::unique_ptr<File> open(const std::filesystem::path& path, OpenMode mode) override;
  std::optional<FileKind> kind(const std::filesystem::path& path) const override;
  std::vector<std::string> list(const std::filesystem::path& directory) const override;
  void rename(const std::filesystem::path& from, const std::filesystem::path& to) override;
  void remove_file(const std::filesystem::path& path) override;
  void make_directory(const std::filesystem::path& path) override;
  void remove_directory(const std::filesystem::path& path) override;
  void sync_directory(const std::filesystem::path& directory) override;
};

inline std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

// A directory that holds no directories, such as a checkpoint: its files, then itself. FileError (ENOTEMPTY,
// EISDIR ...) otherwise.
void remove_flat_directory(FileSystem& files, const std::filesystem::path& directory);

// The folder that a name without one is in, too.
std::filesystem::path folder_of(const std::filesystem::path& path);

// Of the disk that a folder is on, for whoever may write there; none where that cannot be known.
std::optional<std::int64_t> available_bytes(const std::filesystem::path& folder);

// A new file, synced; its name needs FileSystem::sync_directory.
void write_new_text(FileSystem& files, const std::filesystem::path& path, std::string_view text);

// Text files. read_text refuses more than `limit` bytes before it allocates them. write_text_atomically
// leaves either the old or the new content under the name, whatever happens, and has synced both the bytes
// and the name when it returns.
std::string read_text(FileSystem& files, const std::filesystem::path& path, std::int64_t limit,
                      OpenMode mode = OpenMode::read);
void write_text_atomically(FileSystem& files, const std::filesystem::path& path, std::string_view text);

// Whether a name from outside is safe to append to a folder: no separator, no NUL, not "." or "..", 1 to 255
// bytes.
bool is_base_name(std::string_view name);

}  // namespace drover
