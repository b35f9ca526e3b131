#include "data/tokenizer/bpe_train.h"

#include <algorithm>

#include "core/base/error.h"
#include "tests/data/tokenizer/golden.h"

namespace drover {
namespace {

Tokenizer train(const std::vector<std::string>& documents, const TrainBpe& options) {
  std::size_t at = 0;
  return train_bpe(options, [&](std::string& document) {
    if (at == documents.size()) return false;
    document = documents[at++];
    return true;
  });
}

void check_equal(const Tokenizer& trained, const Tokenizer& golden, std::size_t ordinary) {
  for (std::size_t id = 0; id < ordinary; ++id) {
    INFO("id " << id);
    REQUIRE(trained.token_bytes(std::int32_t(id)) == golden.token_bytes(std::int32_t(id)));
  }
  REQUIRE(trained.spec().merges.size() == golden.spec().merges.size());
  for (std::size_t rank = 0; rank < golden.spec().merges.size(); ++rank) {
    INFO("merge " << rank);
    const Merge &mine = trained.spec().merges[rank], &theirs = golden.spec().merges[rank];
    REQUIRE(mine.left == theirs.left);
    REQUIRE(mine.right == theirs.right);
    REQUIRE(mine.merged == theirs.merged);
  }
}

}  // namespace

TEST_CASE("training learns the vocabulary that tokenizers learns, ties included") {
  const Tokenizer trained = train(golden_documents("corpus.txt"), {.vocab_size = 642, .threads = 2});
  const Tokenizer golden = Tokenizer::load(golden_path("llama3.json"));
  check_equal(trained, golden, 642);
  REQUIRE(trained.bos() == golden.bos());
  REQUIRE(trained.eos() == golden.eos());
  REQUIRE(trained.special("<|begin_of_text|>") == 640);
}

TEST_CASE("training learns what tokenizers learns from words of three letters") {
  const Tokenizer trained = train(golden_documents("letters.txt"), {.vocab_size = 420, .specials = {}});
  check_equal(trained, Tokenizer::load(golden_path("letters.json")), 420);
}

TEST_CASE("training with GPT-2's pattern learns what tokenizers learns") {
  const Tokenizer trained =
      train(golden_documents("corpus.txt"),
            {.vocab_size = 501, .pattern = kGpt2Pattern, .specials = {"<|endoftext|>"}});
  check_equal(trained, Tokenizer::load(golden_path("gpt2.json")), 501);
}

TEST_CASE("neither threads nor the order of documents change what is learned") {
  std::vector<std::string> documents = golden_documents("corpus.txt");
  const std::string one = train(documents, {.vocab_size = 600, .threads = 1}).digest();
  REQUIRE(train(documents, {.vocab_size = 600, .threads = 2}).digest() == one);
  std::ranges::reverse(documents);
  REQUIRE(train(documents, {.vocab_size = 600, .threads = 5}).digest() == one);
  REQUIRE(train(documents, {.vocab_size = 601, .threads = 1}).digest() != one);
}

TEST_CASE("a text without more pairs gives a smaller vocabulary") {
  REQUIRE(train({"abab"}, {.vocab_size = 1000}).vocab_size() == 256 + 2 + 2);  // ab, abab and the specials
  REQUIRE(train({}, {.vocab_size = 1000}).vocab_size() == 258);
  REQUIRE(train({"", "a"}, {.vocab_size = 258}).vocab_size() == 258);
}

TEST_CASE("invalid UTF-8 is trained on as U+FFFD") {
  const TrainBpe options{.vocab_size = 270};
  REQUIRE(train({"a\xFFz a\xFFz"}, options).digest() == train({"a\uFFFDz a\uFFFDz"}, options).digest());
}

TEST_CASE("a vocabulary smaller than the bytes and special tokens is refused") {
  REQUIRE_THROWS_AS(train({"a"}, {.vocab_size = 257}), Error);
}

TEST_CASE("a special token that the text makes too is refused") {
  REQUIRE_THROWS_AS(train({"aa aa aa"}, {.vocab_size = 300, .specials = {"aa"}}), Error);
}

TEST_CASE("an exception of the document source ends training and reaches the caller") {
  int calls = 0;
  const auto next = [&](std::string& document) {
    if (++calls == 20) throw input_error("disk gone");
    document = "some text";
    return true;
  };
  for (const int threads : {1, 3}) {
    calls = 0;
    REQUIRE_THROWS_AS(train_bpe({.vocab_size = 300, .threads = threads}, next), Error);
    REQUIRE(calls == 20);
  }
}

}  // namespace drover
