#include "data/tokenizer/tokenizer.h"

#include <nlohmann/json.hpp>
#include <random>
#include <thread>

#include "core/base/error.h"
#include "data/unicode/unicode.h"
#include "tests/data/tokenizer/golden.h"
#include "tests/data/tokenizer/merge_by_definition.h"

namespace drover {
namespace {

using Ids = std::vector<std::int32_t>;

const char* const kForms[] = {"llama3.json", "gpt2.json", "letters.json", "ranks.model"};

// Any length, thick with the characters that split patterns care about.
std::string random_text(std::mt19937& random, std::size_t characters) {
  static const std::vector<std::string> kinds = {"a",  "b",  "c",      "the",    " ",         "  ", "\n",
                                                 "\r", "'s", "7",      "\0",     ".",         "é",  "牛",
                                                 "\t", "!",  "drover", "\u0301", "\U0001F402"};
  std::string text;
  for (std::size_t i = 0; i < characters; ++i) text += kinds[random() % kinds.size()];
  return text;
}

Ids by_definition(const Tokenizer& tokenizer, const std::string& piece) {
  std::vector<std::string> bytes;
  for (const char byte : piece) bytes.emplace_back(1, byte);
  const auto& tokens = tokenizer.spec().tokens;
  Ids ids;
  for (const std::string& part : merge_by_definition(tokenizer.spec(), bytes))
    ids.push_back(std::int32_t(std::ranges::find(tokens, part) - tokens.begin()));
  return ids;
}

// The message of the input error that reading `text` gives; empty if it is read.
template <class Read>
std::string refusal(Read read) {
  try {
    read();
    return "";
  } catch (const Error& error) {
    CHECK(error.exit() == Exit::input);
    return error.what();
  }
}

nlohmann::json llama3_json() { return nlohmann::json::parse(golden_text("llama3.json")); }

}  // namespace

TEST_CASE("ids equal those of tokenizers and tiktoken") {
  const auto rows = nlohmann::json::parse(golden_text("cases.json"));
  REQUIRE(rows.size() > 25);
  for (const char* form : kForms) {
    const Tokenizer tokenizer = Tokenizer::load(golden_path(form));
    Encoder encoder(tokenizer);
    for (int pass = 0; pass < 2; ++pass) {  // the second from the piece cache
      for (const auto& row : rows) {
        const std::string text = row["text"];
        INFO(form << ", pass " << pass << ": " << text.substr(0, 60));
        Ids ids;
        REQUIRE(encoder.encode_ordinary(text, ids) == 0);
        REQUIRE(ids == row[std::string(form).substr(0, std::string(form).find('.'))].get<Ids>());
        REQUIRE(tokenizer.decode(ids) == text);
      }
    }
  }
}

TEST_CASE("decoding gives back every text, and random bytes with U+FFFD where they are not UTF-8") {
  std::mt19937 random(3);
  for (const char* form : kForms) {
    const Tokenizer tokenizer = Tokenizer::load(golden_path(form));
    Encoder encoder(tokenizer);
    for (int trial = 0; trial < 200; ++trial) {
      const std::string text = random_text(random, random() % 200);
      Ids ids;
      REQUIRE(encoder.encode_ordinary(text, ids) == 0);
      REQUIRE(tokenizer.decode(ids) == text);
      std::string bytes(random() % 100, '\0'), repaired;
      for (char& byte : bytes) byte = char(random());
      const std::int64_t expected = replace_invalid_utf8(bytes, repaired);
      ids.clear();
      REQUIRE(encoder.encode_ordinary(bytes, ids) == expected);
      REQUIRE(tokenizer.decode(ids) == repaired);
    }
  }
}

TEST_CASE("every byte alone is a token") {
  const Tokenizer tokenizer = Tokenizer::load(golden_path("llama3.json"));
  std::vector<bool> seen(256);
  for (std::int32_t id = 0; id < 256; ++id)
    seen[static_cast<unsigned char>(tokenizer.token_bytes(id)[0])] = true;
  REQUIRE(std::ranges::count(seen, true) == 256);
}

TEST_CASE("pieces of every length merge by the definition, the short way and the long way") {
  std::mt19937 random(5);
  for (const char* form : {"letters.json", "ranks.model"}) {
    const Tokenizer tokenizer = Tokenizer::load(golden_path(form));
    for (const std::size_t length : {2, 3, 7, 23, 24, 60, 127, 128, 129, 200, 300}) {
      std::string piece;
      while (piece.size() < length) piece += "abcabacdrothe"[random() % 13];
      INFO(form << " " << piece);
      REQUIRE(tokenizer.encode_ordinary(piece) == by_definition(tokenizer, piece));
    }
  }
}

TEST_CASE("a piece of a megabyte takes the time of many small ones") {
  const Tokenizer tokenizer = Tokenizer::load(golden_path("letters.json"));
  std::string piece;
  while (piece.size() < (1 << 20)) piece += "abcab";
  const Ids ids = tokenizer.encode_ordinary(piece);
  REQUIRE(tokenizer.decode(ids) == piece);
  REQUIRE(ids.size() < piece.size() / 2);
}

TEST_CASE("text never makes a special id, unless asked") {
  const Tokenizer tokenizer = Tokenizer::load(golden_path("llama3.json"));
  const std::string text = "a<|begin_of_text|><|end_of_text|> <|begin_of";
  for (const std::int32_t id : tokenizer.encode_ordinary(text)) REQUIRE_FALSE(tokenizer.is_special(id));
  REQUIRE(tokenizer.count_special_names(text) == 2);
  const Ids ids = tokenizer.encode_with_specials(text);
  REQUIRE(ids[1] == tokenizer.bos());
  REQUIRE(ids[2] == tokenizer.eos());
  REQUIRE(tokenizer.decode(ids) == text);
}

TEST_CASE("a special name that a split leaves whole and merges ignore is still text") {
  auto json = llama3_json();
  json["model"]["ignore_merges"] = true;
  json["model"]["vocab"]["hello"] = 640;
  json["added_tokens"][0]["content"] = "hello";
  json["post_processor"] = nullptr;
  const Tokenizer tokenizer = Tokenizer::from_json(json.dump(), "x");
  REQUIRE(tokenizer.special("hello") == 640);
  REQUIRE(tokenizer.encode_ordinary("hello").size() > 1);
  REQUIRE(tokenizer.encode_with_specials("hello") == Ids{640});
}

TEST_CASE("added tokens that are not special belong to ordinary text, the longest first") {
  auto json = llama3_json();
  for (const auto& [id, name] : {std::pair{642, "<tab>"}, {643, "<tab><tab>"}}) {
    json["added_tokens"].push_back({{"id", id}, {"content", name}, {"special", false}});
  }
  const Tokenizer tokenizer = Tokenizer::from_json(json.dump(), "x");
  REQUIRE(tokenizer.encode_ordinary("<tab><tab><tab>") == Ids{643, 642});
  REQUIRE_FALSE(tokenizer.special("<tab>"));
}

TEST_CASE("added tokens are looked for in the order of tokenizers") {
  auto json = llama3_json();
  const auto add = [&](int id, const char* content, bool special, bool normalized) {
    json["added_tokens"].push_back(
        {{"id", id}, {"content", content}, {"special", special}, {"normalized", normalized}});
  };
  add(642, "<a><b>", false, true);
  add(643, "<b><c>", false, false);
  add(644, "<d><e>", true, false);
  add(645, "<e>", false, false);
  const Tokenizer tokenizer = Tokenizer::from_json(json.dump(), "x");
  const auto with = [](Ids ids, std::int32_t id) { return std::ranges::count(ids, id); };
  // What is not normalized comes first, though the other one begins further left.
  CHECK(with(tokenizer.encode_ordinary("<a><b><c>"), 642) == 0);
  CHECK(with(tokenizer.encode_ordinary("<a><b><c>"), 643) == 1);
  CHECK(tokenizer.encode_ordinary("<a><b>") == Ids{642});
  // A special token's name is text all of it.
  CHECK(with(tokenizer.encode_ordinary("<d><e>"), 645) == 0);
  CHECK(tokenizer.encode_ordinary("<e>") == Ids{645});
  CHECK(tokenizer.encode_with_specials("<d><e><e>") == Ids{644, 645});
}

TEST_CASE("a tokenizer.json written and read again is the same tokenizer") {
  for (const char* form : {"llama3.json", "gpt2.json", "letters.json"}) {
    const Tokenizer tokenizer = Tokenizer::load(golden_path(form));
    const std::string written = tokenizer.to_json();
    const Tokenizer again = Tokenizer::from_json(written, form);
    REQUIRE(again.digest() == tokenizer.digest());
    REQUIRE(again.to_json() == written);
  }
}

TEST_CASE(
    "a ranks file written as tokenizer.json keeps its ids, with Llama 3's special tokens after the ranks") {
  const Tokenizer ranks = Tokenizer::load(golden_path("ranks.model"));
  const Tokenizer json = Tokenizer::from_json(ranks.to_json(), "x");
  REQUIRE(ranks.vocab_size() == 640 + 256);
  REQUIRE(ranks.bos() == 640);
  REQUIRE(ranks.eos() == 641);
  REQUIRE(ranks.special("<|eot_id|>") == 649);
  REQUIRE(ranks.special("<|reserved_special_token_247|>") == 640 + 255);
  REQUIRE(json.bos() == ranks.bos());
  const std::string text = golden_text("corpus.txt");
  REQUIRE(json.encode_ordinary(text) == ranks.encode_ordinary(text));
}

TEST_CASE("an end token that only the template names survives writing") {
  auto json = llama3_json();
  json["added_tokens"][1]["content"] = "<stop>";
  json["post_processor"]["single"].push_back({{"SpecialToken", {{"id", "<stop>"}, {"type_id", 0}}}});
  const Tokenizer tokenizer = Tokenizer::from_json(json.dump(), "x");
  REQUIRE(tokenizer.eos() == 641);
  REQUIRE(Tokenizer::from_json(tokenizer.to_json(), "x").eos() == 641);
}

TEST_CASE("merges as strings and as pairs are the same") {
  auto json = llama3_json();
  for (auto& merge : json["model"]["merges"]) {
    merge = merge.is_array() ? nlohmann::json(merge[0].get<std::string>() + " " + merge[1].get<std::string>())
                             : merge;
  }
  REQUIRE(Tokenizer::from_json(json.dump(), "x").digest() ==
          Tokenizer::load(golden_path("llama3.json")).digest());
}

TEST_CASE("the digest sees the rules, the normalizer, a merge's order, a token's flags and the end token") {
  const Tokenizer tokenizer = Tokenizer::load(golden_path("llama3.json"));
  std::vector<TokenizerSpec> changed(14, tokenizer.spec());
  changed[0].splits[0].pattern = kGpt2Pattern;
  std::swap(changed[1].merges[5], changed[1].merges[6]);
  std::swap(changed[1].merges[5].rank, changed[1].merges[6].rank);
  changed[2].added[1].special = false;
  changed[2].eos.reset();
  changed[3].eos = changed[3].bos;
  changed[4].normalizer = Normalizer::nfc;
  changed[5].prefix_space = PrefixSpace::after_rules;
  changed[6].splits[0].inverted = true;
  changed[7].splits[0].behavior = SplitBehavior::contiguous;
  changed[8].splits.push_back({.pattern = "a"});
  changed[9].splits.insert(changed[9].splits.begin(), {.pattern = "a"});
  changed[10].added[1].single_word = true;
  changed[11].added[1].lstrip = true;
  changed[12].added[1].rstrip = true;
  changed[13].added[1].normalized = true;
  std::vector<std::string> digests = {tokenizer.digest()};
  REQUIRE(digests[0].size() == 32);
  for (const TokenizerSpec& spec : changed) {
    digests.push_back(Tokenizer(spec, "x").digest());
    REQUIRE(std::ranges::count(digests, digests.back()) == 1);
  }
}

TEST_CASE("tokenizers of one expression keep the digests that stores have of them") {
  CHECK(Tokenizer::load(golden_path("llama3.json")).digest() == "05d81b2510d232f160b0a10248dc47f8");
  CHECK(Tokenizer::load(golden_path("gpt2.json")).digest() == "06b50fe6c289cfdb8105a99b2a0a375b");
  CHECK(Tokenizer::load(golden_path("ranks.model")).digest() == "97f6d3cd01b54e0bcd7a006abac3fab2");
}

TEST_CASE("flags of added tokens, rules, NFC and a space before a text survive writing") {
  auto json = llama3_json();
  json["normalizer"] = {{"type", "Sequence"}};
  json["normalizer"]["normalizers"].push_back({{"type", "NFC"}});
  auto& parts = json["pre_tokenizer"]["pretokenizers"];
  parts[0]["behavior"] = "Removed";
  parts[0]["invert"] = true;
  parts.insert(parts.begin(), nlohmann::json{{"type", "Digits"}, {"individual_digits", true}});
  parts.insert(parts.begin(), nlohmann::json{{"type", "Split"}, {"behavior", "MergedWithNext"}});
  parts[0]["pattern"]["String"] = "(.";
  parts[3]["add_prefix_space"] = true;
  for (const char* flag : {"single_word", "lstrip", "rstrip", "normalized"})
    json["added_tokens"][0][flag] = true;
  const Tokenizer tokenizer = Tokenizer::from_json(json.dump(), "x");
  const Tokenizer again = Tokenizer::from_json(tokenizer.to_json(), "x");
  const TokenizerSpec& spec = again.spec();
  CHECK((again.digest() == tokenizer.digest() && spec.normalizer == Normalizer::nfc));
  CHECK(spec.prefix_space == PrefixSpace::after_rules);
  CHECK(spec.splits[0] == SplitRule{.pattern = R"(\(\.)", .behavior = SplitBehavior::merged_with_next});
  CHECK(spec.splits[1] == SplitRule{.pattern = R"([\p{N}\x{11DE0}-\x{11DE9}\x{16FF4}-\x{16FF6}])"});
  CHECK(spec.splits[2] ==
        SplitRule{.pattern = kLlama3Pattern, .behavior = SplitBehavior::removed, .inverted = true});
  CHECK((spec.added[0].single_word && spec.added[0].lstrip && spec.added[0].rstrip &&
         spec.added[0].normalized));
  CHECK_FALSE(again.keeps_text());
}

TEST_CASE("GPT-2's own split with a space before the text survives writing") {
  auto json = nlohmann::json::parse(golden_text("gpt2.json"));
  json["pre_tokenizer"]["add_prefix_space"] = true;
  const Tokenizer tokenizer = Tokenizer::from_json(json.dump(), "x");
  CHECK(tokenizer.spec().prefix_space == PrefixSpace::before_last_rule);
  CHECK(Tokenizer::from_json(tokenizer.to_json(), "x").digest() == tokenizer.digest());
  CHECK(tokenizer.decode(tokenizer.encode_ordinary("herd")) == " herd");
  CHECK(tokenizer.encode_ordinary(" herd") == tokenizer.encode_ordinary("herd"));
}

TEST_CASE("an added token of an ordinary token's bytes has its own id, and merges make the other") {
  auto json = llama3_json();
  json["added_tokens"].push_back(
      {{"id", 642}, {"content", " the"}, {"special", false}, {"single_word", true}});
  const Tokenizer tokenizer = Tokenizer::from_json(json.dump(), "x");
  const std::int32_t ordinary = json["model"]["vocab"]["\u0120the"];
  CHECK(tokenizer.encode_ordinary("! the") == Ids{json["model"]["vocab"]["!"], 642});
  CHECK(tokenizer.encode_ordinary("a the") == Ids{json["model"]["vocab"]["a"], ordinary});
  CHECK(Tokenizer::from_json(tokenizer.to_json(), "x").digest() == tokenizer.digest());
}

TEST_CASE("threads with an Encoder each get the same ids") {
  const Tokenizer tokenizer = Tokenizer::load(golden_path("llama3.json"));
  const std::string text = golden_text("corpus.txt");
  const Ids expected = tokenizer.encode_ordinary(text);
  std::vector<Ids> results(4);
  std::vector<std::thread> threads;
  for (Ids& ids : results) threads.emplace_back([&] { Encoder(tokenizer).encode_ordinary(text, ids); });
  for (std::thread& thread : threads) thread.join();
  for (const Ids& ids : results) REQUIRE(ids == expected);
}

TEST_CASE("an Encoder outlives the Tokenizer it was made from") {
  auto tokenizer = std::make_unique<Tokenizer>(Tokenizer::load(golden_path("gpt2.json")));
  Encoder encoder(*tokenizer);
  const Ids expected = tokenizer->encode_ordinary("the drovers");
  tokenizer.reset();
  Ids ids;
  encoder.encode_ordinary("the drovers", ids);
  REQUIRE(ids == expected);
}

TEST_CASE("an id outside the vocabulary is an input error") {
  const auto tokenizer = Tokenizer::load(golden_path("gpt2.json"));
  REQUIRE_THROWS_AS(tokenizer.decode(Ids{501}), Error);
  REQUIRE_THROWS_AS(tokenizer.token_bytes(-1), Error);
}

TEST_CASE("a tokenizer.json that is malformed or not supported is refused with the file and the reason") {
  using Json = nlohmann::json;
  struct Row {
    const char* reason;
    void (*spoil)(Json&);
  };
  const Row rows[] = {
      {"normalizer NFKC",
       [](Json& j) {
         j["normalizer"] = {{"type", "NFKC"}};
       }},
      {"model WordPiece", [](Json& j) { j["model"]["type"] = "WordPiece"; }},
      {"pre_tokenizer ByteLevel", [](Json& j) { j["model"]["byte_fallback"] = true; }},
      {"end_of_word_suffix", [](Json& j) { j["model"]["end_of_word_suffix"] = "</w>"; }},
      {"dropout", [](Json& j) { j["model"]["dropout"] = 0.1; }},
      {"'pre_tokenizer' is missing", [](Json& j) { j.erase("pre_tokenizer"); }},
      {"'pre_tokenizer' must be object", [](Json& j) { j["pre_tokenizer"] = 3; }},
      {"pre_tokenizer Metaspace",
       [](Json& j) {
         j["pre_tokenizer"] = {{"type", "Metaspace"}};
       }},
      {"no ByteLevel", [](Json& j) { j["pre_tokenizer"]["pretokenizers"].erase(1); }},
      {"no regular expression", [](Json& j) { j["pre_tokenizer"]["pretokenizers"].erase(0); }},
      {"Split after ByteLevel",
       [](Json& j) {
         std::swap(j["pre_tokenizer"]["pretokenizers"][0], j["pre_tokenizer"]["pretokenizers"][1]);
       }},
      {"at most 64",
       [](Json& j) {
         auto& parts = j["pre_tokenizer"]["pretokenizers"];
         for (int more = 0; more < 64; ++more) parts.insert(parts.begin(), parts[0]);
       }},
      {"unknown behavior Cut", [](Json& j) { j["pre_tokenizer"]["pretokenizers"][0]["behavior"] = "Cut"; }},
      {"may match nothing",
       [](Json& j) {
         j["pre_tokenizer"]["pretokenizers"][0]["pattern"] = {{"String", ""}};
       }},
      {"decoder Metaspace",
       [](Json& j) {
         j["decoder"] = {{"type", "Metaspace"}};
       }},
      {"post_processor Other",
       [](Json& j) {
         j["post_processor"] = {{"type", "Other"}};
       }},
      {"cls must be a name and an id",
       [](Json& j) {
         j["post_processor"] = {{"type", "BertProcessing"}, {"cls", {"<s>"}}};
       }},
      {"not among added_tokens", [](Json& j) { j["added_tokens"][0]["content"] = "<other>"; }},
      {"'lstrip' must be boolean", [](Json& j) { j["added_tokens"][0]["lstrip"] = 1; }},
      {"has id -1", [](Json& j) { j["added_tokens"][0]["id"] = -1; }},
      {"only 642 tokens", [](Json& j) { j["added_tokens"][0]["id"] = 16'000'000; }},
      {"ids are integers", [](Json& j) { j["model"]["vocab"]["a"] = 99'999'999'999; }},
      {"ids must be unique", [](Json& j) { j["model"]["vocab"]["a"] = j["model"]["vocab"]["b"]; }},
      {"no token has id 641",
       [](Json& j) { j["model"]["vocab"]["<|begin_of_text|>"] = 640, j["added_tokens"][1]["id"] = 642; }},
      {"outside the byte-level alphabet", [](Json& j) { j["model"]["vocab"]["a b"] = 642; }},
      {"is there twice", [](Json& j) { j["model"]["merges"].push_back(j["model"]["merges"][0]); }},
      {"not in the vocabulary",
       [](Json& j) {
         j["model"]["merges"].push_back(Json::array({"qq", "q"}));
       }},
      {"expected \"a b\"", [](Json& j) { j["model"]["merges"].push_back("a b c"); }},
  };
  for (const Row& row : rows) {
    Json json = llama3_json();
    row.spoil(json);
    const std::string message = refusal([&] { Tokenizer::from_json(json.dump(), "dir/t.json"); });
    INFO("expected '" << row.reason << "', got '" << message << "'");
    REQUIRE(message.starts_with("dir/t.json"));
    REQUIRE(message.find(row.reason) != std::string::npos);
  }
}

TEST_CASE("a vocabulary without all 256 bytes is refused") {
  auto json = llama3_json();
  auto& vocabulary = json["model"]["vocab"];
  const std::int32_t id = vocabulary["~"];
  vocabulary.erase("~");
  vocabulary["~~~~~"] = id;
  const std::string message = refusal([&] { Tokenizer::from_json(json.dump(), "t.json"); });
  REQUIRE(message.find("lacks 1 of the 256 single bytes") != std::string::npos);
}

TEST_CASE("text that is not JSON, cut short or hostile in depth is refused") {
  const std::string whole = golden_text("gpt2.json");
  for (const std::string& text : {std::string("{"), std::string(), std::string("[]"),
                                  whole.substr(0, whole.size() / 2), std::string(1'000'000, '[')}) {
    REQUIRE(refusal([&] { Tokenizer::from_json(text, "t.json"); }).starts_with("t.json:"));
  }
  // Where a value would be printed or copied, level by level on the machine's stack.
  const std::string deep = std::string(1'000'000, '[') + std::string(1'000'000, ']');
  for (const std::string& text :
       {R"({"pre_tokenizer": )" + deep + "}", R"({"model": {"vocab": {"a": )" + deep + "}}}",
        R"({"model": {"merges": [)" + deep + "]}}"})
    REQUIRE(refusal([&] {
              Tokenizer::from_json(text, "t.json");
            }).starts_with("t.json: nested deeper than 32 levels"));
  REQUIRE(refusal([] {
            Tokenizer::from_json("{\n  \"a\": oops}", "t.json");
          }).starts_with("t.json:2:8: not valid JSON"));
}

TEST_CASE("a ranks file that is malformed is refused with file and line") {
  const std::string good = golden_text("ranks.model");
  const std::vector<std::pair<std::string, std::string>> rows = {
      {"no tokens", ""},
      {"t.model:1: no space", "IQ==\n"},
      {"t.model:641: the token is not base64", good + "I!== 640\n"},
      {"t.model:641: the token is not base64", good + "IQ 640\n"},
      {"t.model:641: the token is not base64", good + "IR== 640\n"},
      {"t.model:641: the rank is not a number", good + "ISEhISEh 640x\n"},
      {"t.model:641: the rank is not a number", good + "ISEhISEh -1\n"},
      {"rank 639 was given before", good + "ISEhISEh 639\n"},
      {"rank 999999999 in a file", good + "ISEhISEh 999999999\n"},
      {"no token has rank 640", good + "ISEhISEh 641\n\n"},
      {"are both", good + "IQ== 640\n"},
      {"lacks 255 of the 256", "IQ== 0\n"},
      {"the token has 3000 bytes", good + std::string(4000, 'A') + " 640\n"},
  };
  for (const auto& [reason, text] : rows) {
    const std::string message = refusal([&, &ranks = text] { Tokenizer::from_tiktoken(ranks, "t.model"); });
    INFO("expected '" << reason << "', got '" << message << "'");
    REQUIRE(message.starts_with("t.model"));
    REQUIRE(message.find(reason) != std::string::npos);
  }
}

TEST_CASE("a specification whose parts don't fit together is refused") {
  using Spoil = void (*)(TokenizerSpec&);
  const std::pair<const char*, Spoil> rows[] = {
      {"cannot make", [](TokenizerSpec& s) { s.merges[3].merged = s.merges[4].merged; }},
      {"outside the vocabulary", [](TokenizerSpec& s) { s.merges[3].left = 5000; }},
      {"involves the added token", [](TokenizerSpec& s) { s.merges[3].right = *s.bos; }},
      {"must not decrease", [](TokenizerSpec& s) { s.merges[3].rank = 900; }},
      {"is empty", [](TokenizerSpec& s) { s.tokens[300].clear(); }},
      {"ids must increase", [](TokenizerSpec& s) { std::swap(s.added[0], s.added[1]); }},
      {"but the vocabulary says", [](TokenizerSpec& s) { s.added[0].content = "x"; }},
      {"not a special token's id", [](TokenizerSpec& s) { s.eos = 5; }},
  };
  for (const auto& [reason, spoil] : rows) {
    TokenizerSpec spec = Tokenizer::load(golden_path("llama3.json")).spec();
    spoil(spec);
    const std::string message = refusal([&] { Tokenizer(spec, "x"); });
    INFO("expected '" << reason << "', got '" << message << "'");
    REQUIRE(message.find(reason) != std::string::npos);
  }
}

TEST_CASE("a file that is not there, or a folder, is refused") {
  REQUIRE(refusal([] { Tokenizer::load("/nonexistent/t.json"); }).starts_with("/nonexistent/t.json"));
  REQUIRE(refusal([] { Tokenizer::load("/"); }).starts_with("/"));
}

}  // namespace drover
