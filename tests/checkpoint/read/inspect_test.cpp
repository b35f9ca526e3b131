#include "checkpoint/read/inspect.h"

#include "tests/checkpoint/checkpoint_rig.h"
#include "tests/support/test_support.h"

namespace drover {
using namespace testing;

TEST_CASE("inspection shows state, files and how each tensor is cut") {
  const auto files = empty_run();
  const std::string text =
      inspect_checkpoint(*files, save(*files, {.ranks = 3, .cut = Cut::rows, .step = 1500}));
  for (const char* line :
       {"  step         1500\n", "  tokens       6144000\n", "  fingerprint  avx512\n",
        "  tokenizer    0123456789abcdef0123456789abcdef\n", "  feed 0       store-a at token 4500000\n",
        "  feed 1       store \"b\"  at token 1644000\n", "  written by   3 ranks\n",
        "  parameters   980 in 5 tensors\n", "        15  rank_00002.h5\n",
        "of each tensor: moment1 float32, moment2 float32, weight float32\n",
        "         37x12         3         3  model.embed_tokens.weight\n",
        "             5         3         3  model.norm.weight\n"}) {
    CAPTURE(text, line);
    CHECK(text.find(line) != std::string::npos);
  }
}

TEST_CASE("tensors of unlike slots show theirs") {
  const auto files = empty_run();
  run_local_ranks(1, [&](Communicator& world) {
    RankRig rig(world);
    RankState state(small_model(), Cut::first, 0, 1);
    state.entries.pop_back();
    begin_attempt(*files, "run/checkpoints", 1);
    const auto directory =
        save_checkpoint(*files, rig.exec, world,
                        {.folder = "run/checkpoints", .entries = state.entries, .state = run_state(1)});
    const std::string text = inspect_checkpoint(*files, directory);
    CHECK(text.find("model.norm.weight: moment1 float32, weight float32\n") != std::string::npos);
    CHECK(text.find("model.embed_tokens.weight: moment1 float32, moment2 float32, weight float32\n") !=
          std::string::npos);
  });
}

}  // namespace drover
