#include "core/files/filesystem.h"

#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <functional>

#include "tests/support/recording_filesystem.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/test_support.h"

namespace drover {
namespace {

std::string text_of(FileSystem& files, const std::filesystem::path& path) {
  return read_text(files, path, 1 << 20);
}

int code_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const FileError& error) {
    return error.code();
  }
  return 0;
}

// The same facts of the real file system and of the one that tests break.
void check_facts(FileSystem& files, const std::filesystem::path& folder) {
  SECTION("a write beyond the end leaves zeros before it") {
    const auto file = files.open(folder / "a", OpenMode::create);
    file->write(bytes_of("xyz"), 4);
    CHECK(file->size() == 7);
    CHECK(text_of(files, folder / "a") == std::string("\0\0\0\0xyz", 7));
    file->truncate(5);
    CHECK(text_of(files, folder / "a") == std::string("\0\0\0\0x", 5));
  }
  SECTION("a name is created once") {
    files.open(folder / "a", OpenMode::create);
    CHECK(code_of([&] { files.open(folder / "a", OpenMode::create); }) == EEXIST);
    CHECK(code_of([&] { files.open(folder / "b", OpenMode::read); }) == ENOENT);
  }
  SECTION("reading past the end is an error that names the file") {
    files.open(folder / "a", OpenMode::create)->write(bytes_of("xyz"), 0);
    std::array<std::byte, 4> out;
    CHECK_THROWS_AS(files.open(folder / "a", OpenMode::read)->read(out, 0), Error);
  }
  SECTION("names are listed in bytewise order") {
    files.make_directory(folder / "b");
    for (const char* name : {"c", "B", "a"}) files.open(folder / name, OpenMode::create);
    CHECK(files.list(folder) == std::vector<std::string>{"B", "a", "b", "c"});
    CHECK(files.kind(folder / "b") == FileKind::directory);
    CHECK(files.kind(folder / "a") == FileKind::regular);
    CHECK_FALSE(files.exists(folder / "d"));
  }
  SECTION("a directory replaces only an empty directory") {
    files.make_directory(folder / "a");
    files.make_directory(folder / "b");
    files.open(folder / "b" / "x", OpenMode::create);
    CHECK(code_of([&] { files.rename(folder / "a", folder / "b"); }) == ENOTEMPTY);
    files.rename(folder / "b", folder / "a");
    CHECK(files.list(folder) == std::vector<std::string>{"a"});
    CHECK(code_of([&] { files.remove_directory(folder / "a"); }) == ENOTEMPTY);
    remove_flat_directory(files, folder / "a");
    CHECK(files.list(folder).empty());
  }
  SECTION("text is replaced as a whole") {
    write_text_atomically(files, folder / "a", "one");
    files.open(folder / "a.next", OpenMode::create)->write(bytes_of("left by a crash"), 0);
    write_text_atomically(files, folder / "a", "two");
    CHECK(text_of(files, folder / "a") == "two");
    CHECK(files.list(folder) == std::vector<std::string>{"a"});
    CHECK_THROWS_AS(read_text(files, folder / "a", 2), Error);
  }
  SECTION("a mapping shows the bytes") {
    const auto file = files.open(folder / "a", OpenMode::create);
    CHECK(file->map().bytes.empty());
    file->write(bytes_of("xyz"), 0);
    const FileView view = file->map();
    CHECK(std::string(reinterpret_cast<const char*>(view.bytes.data()), view.bytes.size()) == "xyz");
  }
}

TEST_CASE("the real file system keeps its contract") {
  TemporaryFolder folder;
  PosixFileSystem files;
  check_facts(files, folder.path());
}

TEST_CASE("the file system of tests keeps the same contract") {
  RecordingFileSystem files;
  files.make_directory("/folder");
  check_facts(files, "/folder");
}

TEST_CASE("links are followed only where asked, and only regular files open") {
  TemporaryFolder folder;
  PosixFileSystem files;
  files.open(folder.path() / "a", OpenMode::create);
  std::filesystem::create_symlink("a", folder.path() / "link");
  REQUIRE(::mkfifo((folder.path() / "pipe").c_str(), 0600) == 0);
  CHECK(code_of([&] { files.open(folder.path() / "link", OpenMode::read); }) == 0);
  CHECK(code_of([&] { files.open(folder.path() / "link", OpenMode::read_no_follow); }) == ELOOP);
  CHECK(files.kind(folder.path() / "link") == FileKind::other);
  CHECK_THROWS_AS(files.open(folder.path() / "pipe", OpenMode::read), Error);
  CHECK_THROWS_AS(files.open(folder.path(), OpenMode::read), Error);
}

TEST_CASE("a full disk says what to do") {
  const FileError error("write 3 bytes at 0 to", "/data/x", ENOSPC);
  CHECK(error.what() == std::string("cannot write 3 bytes at 0 to /data/x: No space left on device; free "
                                    "space there, or use another disk"));
}

TEST_CASE("a text that cannot be written leaves the old one, and nothing beside it") {
  RecordingFileSystem files;
  write_text_atomically(files, "a", "one");
  for (const int change : {0, 1, 2, 3}) {  // create, write, sync, rename
    files.inject({.at = change, .code = ENOSPC});
    CHECK_THROWS_AS(write_text_atomically(files, "a", "two"), FileError);
    CHECK(files.list("") == std::vector<std::string>{"a"});
    CHECK(read_text(files, "a", 100) == "one");
  }
}

TEST_CASE("only plain names are base names") {
  for (const char* good : {"a", "rank_00000.h5", "...", "a b"}) CHECK(is_base_name(good));
  for (const std::string bad : {"", ".", "..", "a/b", "../a", "/a", "a/"}) CHECK_FALSE(is_base_name(bad));
  CHECK_FALSE(is_base_name(std::string_view("a\0b", 3)));
  CHECK_FALSE(is_base_name(std::string(256, 'a')));
}

// ---- the file system of tests itself
// ------------------------------------------------------------------------------------

TEST_CASE("a power cut keeps what was synced, under the names that were synced") {
  RecordingFileSystem files;
  const auto file = files.open("/a", OpenMode::create);
  file->write(bytes_of("one"), 0);
  file->sync();
  file->write(bytes_of("two"), 0);
  SECTION("bytes without their name are gone") {
    files.crash(Crash::power);
    CHECK_FALSE(files.exists("/a"));
  }
  SECTION("a synced name shows the synced bytes") {
    files.sync_directory("/");
    files.crash(Crash::power);
    CHECK(text_of(files, "/a") == "one");
  }
  SECTION("a killed process loses nothing that it wrote") {
    files.crash(Crash::process);
    CHECK(text_of(files, "/a") == "two");
  }
}

TEST_CASE("recorded changes repeat on a copy") {
  RecordingFileSystem files;
  files.open("/a", OpenMode::create)->write(bytes_of("one"), 0);
  RecordingFileSystem copy(files);
  const std::size_t before = files.changes().size();
  files.open("/a", OpenMode::update)->write(bytes_of("two"), 1);
  files.rename("/a", "/b");
  const auto changes = files.changes();
  for (std::size_t i = before; i < changes.size(); ++i) copy.apply(changes[i]);
  CHECK(text_of(copy, "/b") == "otwo");
  CHECK_FALSE(copy.exists("/a"));
}

TEST_CASE("an injected failure strikes the chosen change and leaves half of a write") {
  RecordingFileSystem files;
  const auto file = files.open("/a", OpenMode::create);
  files.inject({.at = 1, .code = ENOSPC});
  file->write(bytes_of("ab"), 0);
  CHECK(code_of([&] { file->write(bytes_of("cdef"), 2); }) == ENOSPC);
  file->sync();
  CHECK(text_of(files, "/a") == "abcd");
}

}  // namespace
}  // namespace drover
