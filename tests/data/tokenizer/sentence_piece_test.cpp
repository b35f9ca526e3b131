// Tokenizers whose tokens are characters, with bytes for those that are no token.
#include <nlohmann/json.hpp>
#include <random>

#include "core/base/error.h"
#include "data/tokenizer/spec.h"
#include "data/tokenizer/tokenizer.h"
#include "tests/data/tokenizer/merge_by_definition.h"
#include "tests/support/test_support.h"

namespace drover {
namespace {

using Ids = std::vector<std::int32_t>;
using Json = nlohmann::ordered_json;

Json added_token(int id, const char* name) {
  return {{"id", id}, {"content", name}, {"special", true}, {"normalized", false}};
}

// Specials, 256 bytes, letters, and what merges make of them; of Llama 2's form.
Json llama2_json() {
  const std::vector<std::string> letters = {"▁", "a", "d", "e",  "h", "o", "r",
                                            "t", "v", "é", "牛", "<", "s", ">"};
  const std::vector<std::pair<std::string, std::string>> merges = {
      {"▁", "▁"},   {"t", "h"}, {"▁", "th"}, {"▁th", "e"},    {"e", "r"}, {"▁▁", "▁▁"}, {"o", "v"},
      {"ov", "er"}, {"▁", "d"}, {"▁d", "r"}, {"▁dr", "over"}, {"r", "o"}, {"é", "牛"}};
  Json vocabulary = {{"<unk>", 0}, {"<s>", 1}, {"</s>", 2}};
  int id = 3;
  for (int byte = 0; byte < 256; ++byte) vocabulary[byte_token(std::uint8_t(byte))] = id++;
  for (const std::string& letter : letters) vocabulary[letter] = id++;
  Json pairs = Json::array();
  for (const auto& [left, right] : merges) {
    vocabulary[left + right] = id++;
    pairs.push_back(Json::array({left, right}));
  }
  const Json prepend = {{"type", "Prepend"}, {"prepend", "▁"}};
  const Json replace = {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", "▁"}};
  return {{"added_tokens", {added_token(0, "<unk>"), added_token(1, "<s>"), added_token(2, "</s>")}},
          {"normalizer", {{"type", "Sequence"}, {"normalizers", {prepend, replace}}}},
          {"pre_tokenizer", nullptr},
          {"post_processor", nullptr},
          {"decoder", nullptr},
          {"model", {{"type", "BPE"}, {"byte_fallback", true}, {"vocab", vocabulary}, {"merges", pairs}}}};
}

Json with_metaspace(const char* scheme) {
  Json json = llama2_json();
  json["normalizer"] = nullptr;
  json["pre_tokenizer"] = {
      {"type", "Metaspace"}, {"replacement", "▁"}, {"prepend_scheme", scheme}, {"split", false}};
  return json;
}

Tokenizer read(const Json& json) { return Tokenizer::from_json(json.dump(), "tokenizer.json"); }

std::vector<std::string> spelled(const Tokenizer& tokenizer, const Ids& ids) {
  std::vector<std::string> tokens;
  for (const std::int32_t id : ids) tokens.push_back(tokenizer.spec().tokens[std::size_t(id)]);
  return tokens;
}

using Tokens = std::vector<std::string>;

Tokens ordinary(const Tokenizer& tokenizer, const std::string& text) {
  return spelled(tokenizer, tokenizer.encode_ordinary(text));
}
Tokens with_specials(const Tokenizer& tokenizer, const std::string& text) {
  return spelled(tokenizer, tokenizer.encode_with_specials(text));
}

Tokens by_definition(const Tokenizer& tokenizer, const std::vector<std::string>& characters) {
  const std::vector<std::string>& tokens = tokenizer.spec().tokens;
  Tokens atoms;
  for (const std::string& character : characters) {
    if (std::ranges::find(tokens, character) != tokens.end()) {
      atoms.push_back(character);
    } else {
      for (const char byte : character) atoms.push_back(byte_token(std::uint8_t(byte)));
    }
  }
  return merge_by_definition(tokenizer.spec(), atoms);
}

}  // namespace

TEST_CASE("characters merge, spaces are marks, and what is no token is bytes") {
  const Tokenizer tokenizer = read(llama2_json());
  CHECK(ordinary(tokenizer, "the drover") == Tokens{"▁the", "▁drover"});
  CHECK(ordinary(tokenizer, " the") == Tokens{"▁▁", "th", "e"});
  CHECK(ordinary(tokenizer, "é牛é\n") == Tokens{"▁", "é牛", "é", "<0x0A>"});
  CHECK(ordinary(tokenizer, "羊") == Tokens{"▁", "<0xE7>", "<0xBE>", "<0x8A>"});
  CHECK(ordinary(tokenizer, "a\xFF") == Tokens{"▁", "a", "<0xEF>", "<0xBF>", "<0xBD>"});
  CHECK(ordinary(tokenizer, "<s>") == Tokens{"▁", "<", "s", ">"});
  CHECK(ordinary(tokenizer, "").empty());
}

TEST_CASE("a mark is put before every section, before the text, or nowhere") {
  const std::string text = "the<s>the <s> the";
  CHECK(with_specials(read(llama2_json()), text) ==
        Tokens{"▁the", "<s>", "▁the", "▁", "<s>", "▁▁", "th", "e"});
  CHECK(with_specials(read(with_metaspace("always")), text) ==
        Tokens{"▁the", "<s>", "▁the", "▁", "<s>", "▁the"});
  CHECK(with_specials(read(with_metaspace("first")), text) ==
        Tokens{"▁the", "<s>", "th", "e", "▁", "<s>", "▁the"});
  CHECK(with_specials(read(with_metaspace("never")), text) ==
        Tokens{"th", "e", "<s>", "th", "e", "▁", "<s>", "▁the"});
  CHECK(with_specials(read(with_metaspace("first")), "<s>the") == Tokens{"<s>", "th", "e"});
}

TEST_CASE("decoding gives bytes and spaces; a space before the text is the tokenizer's") {
  const Tokenizer tokenizer = read(llama2_json());
  const std::string text = "the  drover\té羊牛\n";
  CHECK(tokenizer.decode(tokenizer.encode_ordinary(text)) == " " + text);
  CHECK(tokenizer.decode(Ids{1}) == "<s>");
  CHECK((tokenizer.puts_space_before() && !tokenizer.keeps_text()));
  const Tokenizer never = read(with_metaspace("never"));
  CHECK(never.decode(never.encode_ordinary(text)) == text);
  CHECK((!never.puts_space_before() && !never.keeps_text()));
}

// Text is cut before words only where that changes nothing: short pieces, long ones, and with a merge that forbids it.
TEST_CASE("ids are those of merging whole texts") {
  Json joined = with_metaspace("never");
  joined["model"]["vocab"]["r▁"] = joined["model"]["vocab"].size();
  joined["model"]["merges"].push_back(Json::array({"r", "▁"}));
  const Tokenizer cut = read(with_metaspace("never")), uncut = read(joined);
  CHECK((can_cut_before_marks(cut.spec()) && !can_cut_before_marks(uncut.spec())));
  static const std::vector<std::string> kinds = {"▁", "▁", "t", "h",  "e",  "d", "r",
                                                 "o", "v", "é", "牛", "羊", "\n"};
  std::mt19937 random(3);
  for (const std::size_t length : {0, 1, 2, 7, 30, 127, 128, 400})
    for (int draw = 0; draw < 8; ++draw) {
      std::vector<std::string> characters;
      std::string text;
      for (std::size_t i = 0; i < length; ++i) characters.push_back(kinds[random() % kinds.size()]);
      for (const std::string& character : characters) text += character == "▁" ? " " : character;
      INFO(text);
      REQUIRE(ordinary(cut, text) == by_definition(cut, characters));
      REQUIRE(ordinary(uncut, text) == by_definition(uncut, characters));
    }
}

TEST_CASE("a tokenizer of characters survives writing, and its digest sees where marks are put") {
  std::vector<std::string> digests;
  Json cuts = with_metaspace("always"), nfc = llama2_json();
  cuts["pre_tokenizer"]["split"] = true;
  nfc["normalizer"]["normalizers"].push_back({{"type", "NFC"}});
  for (const Json& json : {llama2_json(), with_metaspace("always"), with_metaspace("first"),
                           with_metaspace("never"), cuts, nfc}) {
    const Tokenizer tokenizer = read(json), again = Tokenizer::from_json(tokenizer.to_json(), "x");
    CHECK(again.digest() == tokenizer.digest());
    CHECK(again.spec().marks == tokenizer.spec().marks);
    digests.push_back(tokenizer.digest());
    CHECK(std::ranges::count(digests, digests.back()) == 1);
  }
}

TEST_CASE("a tokenizer.json of characters that means something else is refused") {
  struct Row {
    const char* reason;
    void (*spoil)(Json&);
  };
  const Row rows[] = {
      {"lacks 1 of the 256 single bytes, the first of them 65 (spelled '<0x41>')",
       [](Json& j) {
         j["model"]["vocab"]["<0x4_>"] = j["model"]["vocab"]["<0x41>"];
         j["model"]["vocab"].erase("<0x41>");
       }},
      {"Prepend without Replace", [](Json& j) { j["normalizer"]["normalizers"].erase(1); }},
      {"normalizer Prepend", [](Json& j) { j["normalizer"]["normalizers"][0]["prepend"] = "_"; }},
      {"normalizer Replace", [](Json& j) { j["normalizer"]["normalizers"][1]["content"] = "_"; }},
      {"normalizer NFKC", [](Json& j) { j["normalizer"]["normalizers"][0]["type"] = "NFKC"; }},
      {"pre_tokenizer ByteLevel",
       [](Json& j) {
         j["pre_tokenizer"] = {{"type", "ByteLevel"}};
       }},
      {"marks are written twice",
       [](Json& j) {
         j["pre_tokenizer"] = {{"type", "Metaspace"}, {"replacement", "▁"}};
       }},
      {"decoder ByteLevel",
       [](Json& j) {
         j["decoder"] = {{"type", "ByteLevel"}};
       }},
      {"single character",
       [](Json& j) { j["added_tokens"].push_back(added_token(j["model"]["vocab"]["a"], "a")); }},
      {"no byte_fallback",
       [](Json& j) {
         j["model"]["byte_fallback"] = false;
         j["normalizer"] = nullptr;
         j["pre_tokenizer"] = {{"type", "Digits"}};
       }},
  };
  for (const Row& row : rows) {
    Json json = llama2_json();
    row.spoil(json);
    CHECK_THROWS_WITH(read(json), Catch::Contains(row.reason));
  }
}

}  // namespace drover
