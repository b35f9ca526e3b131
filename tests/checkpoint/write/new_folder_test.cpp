#include "checkpoint/write/new_folder.h"

#include <limits>

#include "checkpoint/safetensors/folder.h"
#include "tests/checkpoint/checkpoint_rig.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/test_support.h"

namespace drover {
using namespace testing;

namespace {

// What an export does: folders above, shards with an index, a text.
void write_model(FileSystem& files) {
  NewFolder folder(files, "models/a/");
  std::vector<SafetensorsTensor> tensors{{.name = "x", .dtype = "U8", .shape = {10}},
                                         {.name = "y", .dtype = "U8", .shape = {10}}};
  write_safetensors_folder(files, folder.partial(), tensors, 10, [](std::size_t, ByteSink sink) {
    sink(std::vector<std::byte>(4));
    sink(std::vector<std::byte>(6));
  });
  write_new_text(files, folder.partial() / "config.json", "{}");
  folder.publish();
}

}  // namespace

TEST_CASE("a new folder is whole under its name after a power cut, or not there") {
  RecordingFileSystem whole;
  write_model(whole);
  const auto changes = whole.changes();
  bool was_there = false;
  for (std::size_t cut = 0; cut <= changes.size(); ++cut) {
    RecordingFileSystem files;
    for (std::size_t i = 0; i < cut; ++i) files.apply(changes[i]);
    files.crash(Crash::power);
    const bool is_there = files.exists("models/a");
    if (is_there) {
      CHECK(files.list("models/a").size() == 4);
      CHECK(SafetensorsFolder(files, "models/a").tensors().size() == 2);
    }
    CHECK((is_there || !was_there));
    was_there = is_there;
  }
  CHECK(was_there);
}

TEST_CASE("a new folder that cannot be written leaves nothing, wherever that fails") {
  RecordingFileSystem whole;
  write_model(whole);
  // The folder's own name is synced last: then it is there.
  const int changes = static_cast<int>(whole.changes().size());
  for (int at = 0; at + 1 < changes; ++at) {
    RecordingFileSystem files;
    files.inject({.at = at});
    CHECK_THROWS_AS(write_model(files), FileError);
    if (files.exists("models")) CHECK(files.list("models").empty());
  }
}

TEST_CASE("a folder that will not fit on its disk is refused with both numbers before anything is written") {
  const TemporaryFolder temporary;
  PosixFileSystem files;
  const NewFolder folder(files, temporary.path() / "a");
  CHECK_NOTHROW(folder.require_space(1));
  const std::string message =
      message_of([&] { folder.require_space(std::numeric_limits<std::int64_t>::max()); });
  CHECK(message.find("will have 9223372036854775807 bytes, and its disk has ") != std::string::npos);
}

}  // namespace drover
