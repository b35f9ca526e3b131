#include "checkpoint/read/contents.h"
#include "checkpoint/read/inspect.h"
#include "tests/checkpoint/checkpoint_rig.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/test_support.h"

namespace drover {
using namespace testing;

namespace {

const std::filesystem::path kFolder = "run/checkpoints", kOld = kFolder / "step_0000000100",
                            kNew = kFolder / "step_0000000200";

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
                        const std::function<std::string(const std::string&)>& change) {
  rewrite_manifest(files, directory, [&](Manifest& manifest) {
    StoredFile& file = manifest.files[0];
    const std::string text = change(read_text(files, directory / file.table, 1 << 20));
    replace(files, directory / file.table, text);
    file.table_bytes = static_cast<std::int64_t>(text.size());
    file.table_digest = digest_of(text);
  });
}
void rewrite_table(RecordingFileSystem& files, const std::filesystem::path& directory,
                   const std::function<void(RankTable&)>& change) {
  rewrite_table_text(files, directory, [&](const std::string& text) {
    RankTable table = parse_table(text, "test");
    change(table);
    return table_text(table);
  });
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
  for (const char* name : {"manifest.json", "rank_00000.json", "rank_00001.h5"}) {
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
  rewrite_table(*files, kNew, [](RankTable& table) { table.pieces.pop_back(); });
  CHECK(contains(load_error(*files, kNew),
                 "model.norm.weight moment2 is not whole: of [0:1, 0:5] there are 3"));
  rewrite_table(*files, kOld, [](RankTable& table) { table.pieces[0].box.offset[0] = 3; });
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
  for (const char* name : {"../step_0000000100/rank_00000.h5", "/etc/passwd", "", ".", "a\nb"})
    CHECK(contains(error_after([&](Manifest& m) { m.files[0].name = name; }), "\"name\""));
  CHECK(contains(error_after([](Manifest& m) { m.files[1].table = "../x.json"; }), "\"table\""));
  CHECK(contains(error_after([](Manifest& m) { m.files[0].bytes = std::int64_t{1} << 60; }), "\"bytes\""));
  CHECK(contains(error_after([](Manifest& m) { m.files[0].table_bytes = std::int64_t{1} << 40; }),
                 "\"table_bytes\""));
  CHECK(contains(error_after([](Manifest& m) { m.tensors[0].shape = {1 << 30, 1 << 30}; }), "\"shape\""));
  CHECK(contains(error_after([](Manifest& m) { m.state.step = -1; }), "\"step\""));
  CHECK(contains(error_after([](Manifest& m) { m.files[0].bytes += 1; }), "bytes, the manifest says"));
  CHECK(contains(error_after([](Manifest& m) { m.tensors[1] = m.tensors[0]; }), "\"tensors\""));

  const auto error_of_table = [](const std::function<void(RankTable&)>& change) {
    const auto files = old_and_new();
    rewrite_table(*files, kNew, change);
    return load_error(*files, kNew);
  };
  CHECK(contains(error_of_table([](RankTable& t) { t.pieces[0].box.extent[0] = 38; }), "\"offset\""));
  CHECK(contains(error_of_table([](RankTable& t) { t.pieces[0].offset = t.bytes - 4; }), "\"byte\""));
  CHECK(contains(error_of_table([](RankTable& t) { t.pieces[0].offset = -4096; }), "\"byte\""));
  CHECK(contains(error_of_table([](RankTable& t) { t.extents.pop_back(); }), "\"extents\""));
  CHECK(contains(error_of_table([](RankTable& t) { t.extents.resize(1000); }), "\"extents\""));
}

TEST_CASE("a piece of a tensor that the table does not list is refused") {
  const auto files = old_and_new();
  rewrite_table_text(*files, kNew, [](std::string text) {
    const std::string_view first = "\"tensor\":0";
    return text.replace(text.find(first), first.size(), "\"tensor\":99");
  });
  CHECK(contains(load_error(*files, kNew), "\"tensor\""));
}

TEST_CASE("a checkpoint renamed to another step is not taken for it") {
  const auto files = old_and_new();
  files->rename(kNew, kFolder / "step_0000000300");
  const Found found = find(*files);
  CHECK(found.directory == kOld);
  REQUIRE(found.warnings.size() == 1);
  CHECK(contains(found.warnings[0], "its manifest is of step 200"));
}

TEST_CASE("symbolic links in place of a checkpoint or its files are not followed") {
  PosixFileSystem files;
  for (const char* name : {"", "manifest.json", "rank_00000.json", "rank_00001.h5"}) {
    CAPTURE(name);
    const TemporaryFolder folder;
    save(files, {.folder = folder.path(), .ranks = 2, .step = 100});
    auto target = save(files, {.folder = folder.path(), .ranks = 2, .step = 200});
    if (*name != '\0') target /= name;
    std::filesystem::rename(target, folder.path() / "elsewhere");
    std::filesystem::create_symlink(folder.path() / "elsewhere", target);
    const Found found = find(files, folder.path());
    CHECK(found.directory == folder.path() / "step_0000000100");
    REQUIRE(found.warnings.size() == 1);
    CHECK(contains(found.warnings[0], "symbolic links are not followed here"));
  }
}

TEST_CASE("a version that is not known yet is named as such") {
  const auto files = old_and_new();
  std::string text = read_text(*files, kNew / kManifestName, 1 << 20);
  text.replace(text.find("\"version\": 1"), 12, "\"version\": 2");
  text.resize(text.size() - 36);
  replace(*files, kNew / kManifestName, text + hex(digest_of(text)) + "\"\n}\n");
  CHECK(contains(load_error(*files, kNew), "version 2; this Drover reads up to 1, use a newer one"));
}

}  // namespace drover
