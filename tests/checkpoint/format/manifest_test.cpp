#include "checkpoint/format/manifest.h"

#include "checkpoint/write/directory.h"
#include "tests/checkpoint/checkpoint_rig.h"
#include "tests/support/test_support.h"

namespace drover {
using namespace testing;

TEST_CASE("a manifest of 131,072 ranks is read as it was written, within its limit of size") {
  constexpr std::int64_t kRanks = 131'072;
  Manifest manifest{.state = run_state(1'000'000), .ranks = kRanks};
  for (const char* slot : kSlots)
    manifest.tensors.push_back({.name = "w", .slot = slot, .shape = {16384, 53248}});
  std::sort(manifest.tensors.begin(), manifest.tensors.end(), before);
  for (std::int64_t rank = 0; rank < kRanks; ++rank) {
    manifest.files.push_back({.name = shard_name(rank),
                              .bytes = 37'000'000 + rank,
                              .table = table_name(rank),
                              .table_bytes = 40'000,
                              .table_digest = digest_of(cat(rank))});
  }
  const std::string text = manifest_text(manifest);
  CHECK(static_cast<std::int64_t>(text.size()) < kMaxManifestBytes / 2);
  const Manifest read = parse_manifest(text, "test");
  CHECK(read.tensors == manifest.tensors);
  CHECK(read.ranks == kRanks);
  REQUIRE(read.files.size() == manifest.files.size());
  CHECK(read.files.back().name == "rank_131071.h5");
  CHECK(read.files.back().bytes == manifest.files.back().bytes);
  CHECK(read.files.back().table_digest == manifest.files.back().table_digest);
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
