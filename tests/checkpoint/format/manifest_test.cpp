#include "checkpoint/format/manifest.h"

#include "checkpoint/write/directory.h"
#include "tests/checkpoint/checkpoint_rig.h"
#include "tests/support/test_support.h"

namespace drover {
using namespace testing;

TEST_CASE("a manifest is read as it was written") {
  Manifest manifest{.state = run_state(1'000'000), .ranks = 131'072};
  for (const char* slot : kSlots)
    manifest.tensors.push_back({.name = "w", .slot = slot, .shape = {16384, 53248}});
  std::sort(manifest.tensors.begin(), manifest.tensors.end(), before);
  manifest.table_bytes = 123'456'789;
  manifest.table_digest = digest_of("table");
  const Manifest read = parse_manifest(manifest_text(manifest), "test");
  CHECK(read.tensors == manifest.tensors);
  CHECK(read.ranks == manifest.ranks);
  CHECK(read.table_bytes == manifest.table_bytes);
  CHECK(read.table_digest == manifest.table_digest);
  CHECK(read.format == 2);
  CHECK(read.state.attempt == manifest.state.attempt);
}

namespace {

// Of format 1, with one file; the digest is right.
std::string old_manifest(const std::string& file) {
  std::string text = manifest_text({.state = run_state(3)});
  text.replace(text.find("\"version\": 2"), 12, "\"version\": 1");
  const std::size_t table = text.find(" \"table\": "), end = text.find(",\n", table);
  text.replace(table, end - table, " \"files\": [" + file + "]");
  text.resize(text.size() - 36);
  return text + hex(digest_of(text)) + "\"\n}\n";
}

std::string old_file(const std::string& name, const std::string& table, const std::string& bytes = "4096") {
  return "{\"name\":\"" + name + "\",\"bytes\":" + bytes + ",\"table\":\"" + table +
         "\",\"table_bytes\":500,\"table_digest\":\"0123456789abcdef0123456789abcdef\"}";
}

}  // namespace

TEST_CASE("a manifest of format 1 names a file and a table for every rank, and no others") {
  const Manifest read = parse_manifest(old_manifest(old_file("rank_00007.h5", "rank_00007.json")), "test");
  CHECK(read.format == 1);
  REQUIRE(read.old_files.size() == 1);
  CHECK(read.old_files[0].rank == 7);
  CHECK(read.old_files[0].table_bytes == 500);
  const auto error_of = [](const std::string& file) {
    return message_of([&] { parse_manifest(old_manifest(file), "test"); });
  };
  for (const char* name : {"../rank_00007.h5", "/etc/passwd", "", ".", "rank_7.h5", "rank_00007.h5x"})
    CHECK(error_of(old_file(name, "rank_00007.json")).find("\"name\"") != std::string::npos);
  for (const char* table : {"../rank_00007.json", "rank_00008.json", ""})
    CHECK(error_of(old_file("rank_00007.h5", table)).find("\"table\"") != std::string::npos);
  CHECK(error_of(old_file("rank_00007.h5", "rank_00007.json", "1152921504606846976")).find("\"bytes\"") !=
        std::string::npos);
  const std::string twice = old_file("rank_00007.h5", "rank_00007.json");
  CHECK(error_of(twice + "," + twice).find("\"files\"") != std::string::npos);
}

TEST_CASE("a manifest of a version that wrote less of its state is read") {
  std::string text = manifest_text({.state = run_state(3)});
  CHECK(parse_manifest(text, "test").state.tokenizer == run_state(3).tokenizer);
  const std::size_t first = text.find("\"flops\""), next = text.find("\"fingerprint\"");
  REQUIRE((first < next && next < text.size()));
  text.erase(first, next - first);
  text.replace(text.size() - 36, 32, hex(digest_of(text.substr(0, text.size() - 36))));
  CHECK(parse_manifest(text, "test").state.tokenizer.empty());
  CHECK(parse_manifest(text, "test").state.flops == 0);
}

TEST_CASE("a manifest cut off anywhere is not believed") {
  const std::string text =
      manifest_text({.state = run_state(3), .tensors = {{.name = "w", .slot = "weight", .shape = {2, 3}}}});
  CHECK_NOTHROW(parse_manifest(text, "test"));
  for (std::size_t size = 0; size < text.size(); ++size)
    REQUIRE(message_of([&] {
              parse_manifest(text.substr(0, size), "test");
            }).starts_with("test: does not match"));
}

TEST_CASE("the last lines of a manifest are its digest, of all bytes before the digits") {
  const std::string text = manifest_text({.state = run_state(3)});
  CHECK(text.ends_with("\"\n}\n"));
  CHECK(text.substr(text.size() - 36, 32) == hex(digest_of(text.substr(0, text.size() - 36))));
}

TEST_CASE("a state that JSON cannot hold is refused before anything is committed") {
  RunState state = run_state(3);
  state.config = "\xff";
  CHECK(message_of([&] { manifest_text({.state = state}); }).starts_with("a checkpoint cannot hold"));
}

}  // namespace drover
