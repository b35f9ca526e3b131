// Layouts that hold every wait of a training step, under the stream sanitizer that drover verify runs them under. The
// mutations that put one wait onto another stream (tests/mutations/wait_*.patch) compute the right numbers: only the
// sanitizer sees them.
#include "tests/support/local_training.h"
#include "train/verify.h"

namespace drover::testing {
namespace {

// What the sanitizer, or a comparison, says.
std::string complaint(const char* layout) {
  Config config = parallel_config();
  config.model.tie_word_embeddings = true;
  PosixFileSystem files;
  const VerifyRunner run = [&](int ranks, const VerifyWork& work) -> std::optional<VerifyRun> {
    return record_local_run(ranks, files, work);
  };
  const VerifyRow row = Verifier(config, run, {}).verify(parse_layout(layout));
  if (row.outcome == VerifyOutcome::passed) return "";
  return row.breaches.empty() ? row.refusal : row.breaches.front().text;
}

}  // namespace

TEST_CASE("tensor ranks wait for what they gather, scatter and hold in common") {
  CHECK(complaint("tp4") == "");
}

TEST_CASE("context ranks wait for keys and values, and for their gradients") {
  CHECK(complaint("cp2") == "");
}

TEST_CASE("pipeline ranks wait for what they receive, and for what they sent before they write over it") {
  CHECK(complaint("pp2:1f1b") == "");
  CHECK(complaint("pp2:zb-v") == "");
}

TEST_CASE("shards and replicas wait for weights and gradients") {
  CHECK(complaint("shard2.rep2:zero2") == "");
  CHECK(complaint("shard2:zero3") == "");
}

}  // namespace drover::testing
