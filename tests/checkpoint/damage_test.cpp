#include "checkpoint/format/contents.h"
#include "checkpoint/read/inspect.h"
#include "tests/checkpoint/checkpoint_rig.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/test_support.h"

namespace drover {
using namespace testing;

namespace {

const std::filesystem::path kFolder = "run/checkpoints", kAttempt = kFolder / "attempt_1",
                            kOld = kAttempt / "step_0000000100", kNew = kAttempt / "step_0000000200";

std::unique_ptr<RecordingFileSystem> old_and_new(const TestSave& like = {.ranks = 2, .cut = Cut::rows}) {
  auto files = empty_run();
  TestSave how = like;
  how.step = 100;
  save(*files, how);
  how.step = 200;
  save(*files, how);
  return files;
}

void replace(RecordingFileSystem& files, const std::filesystem::path& path, std::string_view text) {
  const auto bytes = bytes_of(text);
  files.bytes(path).assign(bytes.begin(), bytes.end());
}

// Changes what a checkpoint says of itself, with digests that are right for what it says.
template <class Change>
void rewrite_manifest(RecordingFileSystem& files, const std::filesystem::path& directory, Change change) {
  Manifest manifest = read_manifest(files, directory);
  change(manifest);
  replace(files, directory / kManifestName, manifest_text(manifest));
}
void rewrite_table_text(RecordingFileSystem& files, const std::filesystem::path& directory,
                        const std::string& text) {
  rewrite_manifest(files, directory, [&](Manifest& manifest) {
    replace(files, directory / kTableName, text);
    manifest.table_bytes = std::ssize(text);
    manifest.table_digest = digest_of(text);
  });
}
void rewrite_table(RecordingFileSystem& files, const std::filesystem::path& directory,
                   const std::function<void(std::vector<StoredFile>&)>& change) {
  const Contents contents = read_contents(files, directory);
  std::vector<StoredFile> all;
  contents.for_each_file([&](int, const StoredFile& file) { all.push_back(file); });
  change(all);
  std::vector<StoredTensor> tensors = contents.manifest.tensors;
  tensors.resize(100);  // a piece may be of one that the manifest lacks
  std::string text;
  for (const StoredFile& file : all) text += file_text(file, tensors);
  rewrite_table_text(files, directory, text);
}

std::string load_error(FileSystem& files, const std::filesystem::path& directory, const TestLoad& how = {}) {
  return message_of([&] { count_wrong(files, directory, how); });
}
bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

// 6 MB a slot: several extents.
TestSave large() {
  return {.ranks = 2, .cut = Cut::rows, .model = {{.name = "large", .shape = {1500, 1000}}}};
}

}  // namespace

TEST_CASE("a flipped bit anywhere in any file is found, named, and the checkpoint before is used") {
  const auto files = old_and_new();
  for (const std::string& name : files->list(kNew)) {
    auto& bytes = files->bytes(kNew / name);
    for (std::size_t at = 0; at < bytes.size(); at += name.ends_with(".h5") ? 211 : 5) {
      CAPTURE(name, at, bytes.size());
      bytes[at] ^= std::byte{0x10};
      const Found found = find(*files);
      REQUIRE(found.directory == kOld);
      REQUIRE(found.warnings.size() == 1);
      REQUIRE(contains(found.warnings[0], "step_0000000200 is not used: "));
      REQUIRE(contains(found.warnings[0], name));
      REQUIRE(verify_checkpoint(*files, kNew).damage.size() == 1);
      bytes[at] ^= std::byte{0x10};
    }
  }
  CHECK(find(*files).directory == kNew);
}

TEST_CASE("where every checkpoint is damaged, a run does not start anew") {
  const auto files = old_and_new();
  for (const auto& directory : {kOld, kNew}) files->bytes(directory / "rank_00000.h5")[9] ^= std::byte{1};
  CHECK(contains(message_of([&] { find(*files); }), "none of the 2 checkpoints in run/checkpoints verifies"));
  CHECK_FALSE(find(*files, "run/nothing").directory);
}

TEST_CASE("files that are cut short, grown or missing are found") {
  for (const char* name : {"manifest.json", "table.bin", "rank_00001.h5"}) {
    for (const int change : {-1, 1}) {
      CAPTURE(name, change);
      const auto files = old_and_new();
      auto& bytes = files->bytes(kNew / name);
      bytes.resize(change < 0 ? bytes.size() - 1 : bytes.size() + 1);
      CHECK(find(*files).directory == kOld);
      CHECK(verify_checkpoint(*files, kNew).damage.size() == 1);
    }
    const auto files = old_and_new();
    files->remove_file(kNew / name);
    CHECK(find(*files).directory == kOld);
    CHECK(verify_checkpoint(*files, kNew).damage.size() == 1);
  }
}

TEST_CASE("ranks share the work of checking, and each one's share is checked") {
  const auto files = old_and_new(large());
  const std::size_t last = files->bytes(kNew / "rank_00001.h5").size() - 1;
  for (const char* name : {"rank_00000.h5", "rank_00001.h5"}) {
    for (const std::size_t at : {std::size_t{0}, std::size_t{5'000'000}, last}) {
      files->bytes(kNew / name)[at] ^= std::byte{1};
      for (const int ranks : {1, 2, 3, 4, 8}) CHECK(find(*files, kFolder, ranks).directory == kOld);
      files->bytes(kNew / name)[at] ^= std::byte{1};
    }
  }
  CHECK(find(*files, kFolder, 8).directory == kNew);
}

TEST_CASE("verification lists every damaged byte range, neighbouring extents as one") {
  const auto files = old_and_new(large());
  auto& bytes = files->bytes(kNew / "rank_00001.h5");
  for (const std::size_t at : {std::size_t{0}, std::size_t{4'200'000}, bytes.size() - 1})
    bytes[at] ^= std::byte{1};
  const Verification found = verify_checkpoint(*files, kNew);
  REQUIRE(found.damage.size() == 1);
  CHECK(describe(found.damage[0]) ==
        cat("rank_00001.h5: bytes 0 to ", bytes.size(), ": not what was written"));
  bytes[4'200'000] ^= std::byte{1};
  CHECK(verify_checkpoint(*files, kNew).damage.size() == 2);
  CHECK(verify_checkpoint(*files, kOld).damage.empty());
}

TEST_CASE("loading checks every byte it uses and reads no other") {
  const auto files = empty_run();
  const auto directory = save(*files, {.ranks = 2, .cut = Cut::dealt});  // whole tensors in turn
  auto& bytes = files->bytes(directory / "rank_00001.h5");
  bytes[bytes.size() / 2] ^= std::byte{1};
  const TestLoad on_rank_0{.cut = Cut::first, .model = {small_model()[0], small_model()[2]}};
  CHECK(count_wrong(*files, directory, on_rank_0) == 0);
  for (const int ranks : {1, 2, 3}) {
    const std::string error = load_error(*files, directory, {.ranks = ranks});
    CHECK(contains(error, cat("rank_00001.h5: bytes 0 to ", bytes.size(), " are not what was written")));
  }
}

TEST_CASE("what the model has and the checkpoint lacks is named") {
  const auto files = empty_run();
  const auto directory = save(*files, {.ranks = 2});
  auto model = small_model();
  model.push_back({.name = "lm_head.weight", .shape = {37, 12}});
  CHECK(contains(load_error(*files, directory, {.ranks = 3, .cut = Cut::rows, .model = model}),
                 "float32[37x12] lm_head.weight weight is missing"));
  model = small_model();
  model[1].shape = {20, 13};
  CHECK(contains(load_error(*files, directory, {.model = model}),
                 "holds float32[20x12] model.layers.0.mlp.up_proj.weight weight, wanted is float32[20x13]"));
  CHECK(contains(load_error(*files, directory, {.dtype = DType::float64}), "wanted is float64[37x12]"));
}

TEST_CASE("tensors that nobody asks for do not disturb loading") {
  const auto files = empty_run();
  auto model = small_model();
  model.push_back({.name = "later.addition", .shape = {3, 5}});
  const auto directory = save(*files, {.ranks = 3, .model = model});
  CHECK(count_wrong(*files, directory, {.ranks = 2}) == 0);
}

TEST_CASE("a table whose pieces overlap or leave a gap is refused even with right digests") {
  const auto files = old_and_new();
  rewrite_table(*files, kNew, [](auto& all) { all[0].pieces.pop_back(); });
  CHECK(contains(load_error(*files, kNew),
                 "model.norm.weight moment2 is not whole: of [0:1, 0:5] there are 3"));
  rewrite_table(*files, kOld, [](auto& all) { all[0].pieces[0].box.offset[0] = 3; });
  CHECK(contains(load_error(*files, kOld), "is not whole"));
  CHECK(contains(message_of([&] { hash(*files, kOld); }), "is not whole"));
}

TEST_CASE("names, sizes and boxes that cannot be are refused before they are used") {
  const auto error_after = [](const std::function<void(Manifest&)>& change) {
    const auto files = old_and_new();
    rewrite_manifest(*files, kNew, change);
    CHECK(find(*files).directory == kOld);
    return load_error(*files, kNew);
  };
  CHECK(contains(error_after([](Manifest& m) { m.table_bytes = std::int64_t{1} << 40; }), "\"bytes\""));
  CHECK(contains(error_after([](Manifest& m) { m.table_bytes -= 1; }), "table.bin"));
  CHECK(contains(error_after([](Manifest& m) { m.table_digest.low ^= 1; }), "table.bin is not what was"));
  CHECK(contains(error_after([](Manifest& m) { m.tensors[0].shape = {1 << 30, 1 << 30}; }), "\"shape\""));
  CHECK(contains(error_after([](Manifest& m) { m.tensors[0].name = "../x"; }), "\"name\""));
  CHECK(contains(error_after([](Manifest& m) { m.state.step = -1; }), "\"step\""));
  CHECK(contains(error_after([](Manifest& m) { m.tensors[1] = m.tensors[0]; }), "\"tensors\""));

  const auto error_of_table = [](const std::function<void(std::vector<StoredFile>&)>& change) {
    const auto files = old_and_new();
    rewrite_table(*files, kNew, change);
    CHECK(find(*files).directory == kOld);
    return load_error(*files, kNew);
  };
  CHECK(contains(error_of_table([](auto& all) { all[0].bytes += 1; }), "bytes, the table says"));
  CHECK(contains(error_of_table([](auto& all) { all[0].bytes = std::int64_t{1} << 60; }), "a file's size"));
  CHECK(contains(error_of_table([](auto& all) { all[1].rank = all[0].rank; }), "a rank"));
  CHECK(contains(error_of_table([](auto& all) { all[0].pieces[0].box.extent[0] = 38; }), "a box"));
  CHECK(contains(error_of_table([](auto& all) {
                   all[0].pieces[0].box.extent = {1 << 30, 1 << 30};
                 }),
                 "a box"));
  CHECK(contains(error_of_table([](auto& all) { all[0].pieces[0].box.extent[1] = 0; }), "a box"));
  CHECK(contains(error_of_table([](auto& all) { all[0].pieces[0].tensor = 99; }), "a tensor"));
  CHECK(contains(error_of_table([](auto& all) { all[0].pieces.back().offset = all[0].bytes - 4; }), "a gap"));
  CHECK(contains(error_of_table([](auto& all) { all[0].extents.resize(1000); }), "table.bin"));
  CHECK(contains(error_of_table([](auto& all) { all[1].extents.pop_back(); }), "a digest"));
}

TEST_CASE("a table cut off anywhere, or grown, is refused even with right digests") {
  const auto files = old_and_new();
  const std::string text = read_text(*files, kNew / kTableName, 1 << 20);
  const auto error_of_text = [&](const std::string& changed) {
    rewrite_table_text(*files, kNew, changed);
    return load_error(*files, kNew);
  };
  for (std::size_t size = 0; size < text.size(); ++size) {
    CAPTURE(size, text.size());
    const std::string error = error_of_text(text.substr(0, size));
    REQUIRE(
        (contains(error, "table.bin: ") || contains(error, "is missing") || contains(error, "is not whole")));
  }
  for (const char* more : {"\0", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "ab"})
    CHECK(contains(error_of_text(text + std::string(more, 1) + more), "table.bin: "));
  CHECK(error_of_text(text) == "nothing was thrown");
}

TEST_CASE("a checkpoint renamed to another step is not taken for it") {
  const auto files = old_and_new();
  files->rename(kNew, kAttempt / "step_0000000300");
  const Found found = find(*files);
  CHECK(found.directory == kOld);
  REQUIRE(found.warnings.size() == 1);
  CHECK(contains(found.warnings[0], "its manifest is of step 200"));
}

TEST_CASE("symbolic links in place of a checkpoint or its files are not followed") {
  PosixFileSystem files;
  for (const char* name : {"", "manifest.json", "table.bin", "rank_00001.h5"}) {
    CAPTURE(name);
    const TemporaryFolder folder;
    const auto old = save(files, {.folder = folder.path(), .ranks = 2, .step = 100});
    auto target = save(files, {.folder = folder.path(), .ranks = 2, .step = 200});
    if (*name != '\0') target /= name;
    std::filesystem::rename(target, folder.path() / "elsewhere");
    std::filesystem::create_symlink(folder.path() / "elsewhere", target);
    const Found found = find(files, folder.path());
    CHECK(found.directory == old);
    REQUIRE(found.warnings.size() == 1);
    CHECK(contains(found.warnings[0], "symbolic links are not followed here"));
  }
}

TEST_CASE("a version that is not known yet is named as such") {
  const auto files = old_and_new();
  std::string text = read_text(*files, kNew / kManifestName, 1 << 20);
  text.replace(text.find("\"version\": 2"), 12, "\"version\": 3");
  text.resize(text.size() - 36);
  replace(*files, kNew / kManifestName, text + hex(digest_of(text)) + "\"\n}\n");
  CHECK(contains(load_error(*files, kNew), "version 3; this Drover reads up to 2, use a newer one"));
}

}  // namespace drover
