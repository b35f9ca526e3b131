#include "data/prepare/prepare.h"

#include <algorithm>
#include <random>
#include <set>

#include "core/base/error.h"
#include "data/prepare/outputs.h"
#include "data/store/token_store.h"
#include "tests/support/byte_tokenizer.h"
#include "tests/support/file_bytes.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/test_support.h"

namespace drover {
namespace {

using Texts = std::vector<std::string>;

// A folder with input and output files of one test.
class Workshop {
 public:
  std::string add(const std::string& name, std::string_view bytes) const {
    return write_bytes(folder_.path() / name, bytes);
  }
  std::string add_lines(const std::string& name, const Texts& texts) const {
    std::string lines;
    for (const std::string& text : texts) lines += '"' + text + "\"\n";
    return add(name, lines);
  }
  std::filesystem::path path(const std::string& name) const { return folder_.path() / name; }

  PrepareOptions options(const std::vector<std::string>& inputs) const {
    PrepareOptions options;
    options.documents.inputs = inputs;
    options.out = path("out.h5");
    return options;
  }
  PrepareOptions with_holdout(const std::vector<std::string>& inputs, double fraction) const {
    PrepareOptions held = options(inputs);
    held.holdout_fraction = fraction;
    held.holdout_out = path("holdout.h5");
    held.holdout_text = path("holdout.txt");
    return held;
  }
  // Names of files that start with `prefix`, sorted.
  Texts files(const std::string& prefix) const {
    Texts names;
    for (const auto& entry : std::filesystem::directory_iterator(folder_.path())) {
      const std::string name = entry.path().filename().string();
      if (name.starts_with(prefix)) names.push_back(name);
    }
    std::sort(names.begin(), names.end());
    return names;
  }

 private:
  TemporaryFolder folder_;
};

PrepareSummary prepare(const PrepareOptions& options) {
  PosixFileSystem files;
  return prepare(files, byte_tokenizer(), options);
}

std::vector<std::int32_t> ids_of(const TokenStore& store, std::int64_t document) {
  std::vector<std::int32_t> ids(
      static_cast<std::size_t>(store.offset(document + 1) - store.offset(document)));
  store.read(store.offset(document), ids);
  return ids;
}

// The documents of a store as texts, without BOS and EOS, which must be there.
Texts texts_of(const std::filesystem::path& path) {
  PosixFileSystem files;
  const TokenStore store(files, path);
  store.verify();
  Texts texts;
  for (std::int64_t d = 0; d < store.document_count(); ++d) {
    const std::vector<std::int32_t> ids = ids_of(store, d);
    REQUIRE(ids.front() == kByteBos);
    REQUIRE(ids.back() == kByteEos);
    texts.emplace_back(ids.begin() + 1, ids.end() - 1);
    REQUIRE(store.text_bytes_of(d) == static_cast<std::int64_t>(texts.back().size()));
  }
  return texts;
}

// Distinct texts of every length up to 2,000 bytes.
Texts many_texts(int count, unsigned seed) {
  std::mt19937 random(seed);
  Texts texts;
  for (int i = 0; i < count; ++i) {
    std::string text = std::to_string(i) + " of " + std::to_string(seed) + ": ";
    text.resize(text.size() + random() % 2000, static_cast<char>('a' + random() % 26));
    texts.push_back(text);
  }
  return texts;
}

std::string trouble(const PrepareOptions& options, Exit exit = Exit::input) {
  try {
    prepare(options);
  } catch (const Error& error) {
    CHECK(error.exit() == exit);
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("a document becomes BOS, the ids of its text, EOS, in the order of the input") {
  const Workshop shop;
  const PrepareSummary summary =
      prepare(shop.options({shop.add_lines("a.jsonl", {"one", "two"}), shop.add("b.txt", "three\r\n")}));
  CHECK(texts_of(shop.path("out.h5")) == Texts{"one", "two", "three\r\n"});
  CHECK(summary.train.documents == 3);
  CHECK(summary.train.tokens == 3 + 3 + 7 + 3 * 2);
  CHECK(summary.train.text_bytes == 3 + 3 + 7);
  CHECK(summary.files == 2);
}

TEST_CASE("--bos none and --eos none leave them out, and the store says so") {
  const Workshop shop;
  PosixFileSystem files;
  PrepareOptions options = shop.options({shop.add("a.txt", "hi")});
  options.bos = Affix::none;
  prepare(options);
  const TokenStore without_bos(files, options.out);
  CHECK(ids_of(without_bos, 0) == std::vector<std::int32_t>{'h', 'i', kByteEos});
  CHECK_FALSE(without_bos.config().bos);
  CHECK(without_bos.config().eos == kByteEos);
  options.eos = Affix::none;
  options.existing = Existing::replace;
  prepare(options);
  CHECK(ids_of(TokenStore(files, options.out), 0) == std::vector<std::int32_t>{'h', 'i'});
}

TEST_CASE("the bytes of every output are the same for any number of threads") {
  const Workshop shop;
  std::vector<std::string> inputs{shop.add_lines("a.jsonl", many_texts(3000, 1)),
                                  shop.add("b.txt", std::string(700'000, 'b')),
                                  shop.add_lines("c.jsonl", many_texts(2000, 2))};
  std::set<std::string> stores, holdouts, texts;
  for (const int threads : {1, 2, 5}) {
    PrepareOptions options = shop.with_holdout(inputs, 0.1);
    options.threads = threads;
    options.existing = Existing::replace;
    const PrepareSummary summary = prepare(options);
    CHECK(summary.train.documents + summary.holdout.documents == 5001);
    stores.insert(read_bytes(options.out));
    holdouts.insert(read_bytes(options.holdout_out));
    texts.insert(read_bytes(options.holdout_text));
  }
  CHECK(stores.size() == 1);
  CHECK(holdouts.size() == 1);
  CHECK(texts.size() == 1);
  CHECK(stores.begin()->size() > 5'000'000);  // several waves of batches
}

TEST_CASE("a document's side depends on its text alone, not on order, neighbours or how it is stored") {
  const Workshop shop;
  Texts texts = many_texts(400, 3);
  prepare(shop.with_holdout({shop.add_lines("a.jsonl", texts)}, 0.25));
  const Texts held = texts_of(shop.path("holdout.h5")), kept = texts_of(shop.path("out.h5"));
  CHECK(held.size() > 60);
  CHECK(held.size() < 140);
  CHECK(held.size() + kept.size() == 400);
  for (const std::string& text : held) REQUIRE(is_held_out(text, 0.25));
  for (const std::string& text : kept) REQUIRE_FALSE(is_held_out(text, 0.25));

  // Again backwards, twice each, among others, half of them as text files.
  std::reverse(texts.begin(), texts.end());
  std::vector<std::string> inputs{shop.add_lines("b.jsonl", texts),
                                  shop.add_lines("new.jsonl", many_texts(99, 4))};
  for (std::size_t i = 0; i < texts.size(); i += 2) {
    inputs.push_back(shop.add("texts/" + std::to_string(i), texts[i]));
  }
  PrepareOptions again = shop.with_holdout(inputs, 0.25);
  again.existing = Existing::replace;
  prepare(again);
  const Texts held_again = texts_of(shop.path("holdout.h5")), kept_again = texts_of(shop.path("out.h5"));
  const std::set<std::string> held_set(held_again.begin(), held_again.end());
  const std::set<std::string> kept_set(kept_again.begin(), kept_again.end());
  for (const std::string& text : held) CHECK((held_set.contains(text) && !kept_set.contains(text)));
  for (const std::string& text : kept) CHECK((kept_set.contains(text) && !held_set.contains(text)));
}

TEST_CASE("a larger fraction holds out what a smaller one does, and more") {
  for (const std::string& text : many_texts(300, 5)) {
    if (is_held_out(text, 0.1)) CHECK(is_held_out(text, 0.3));
    CHECK_FALSE(is_held_out(text, 0.0));
  }
}

TEST_CASE("the hold-out's text file is exactly its documents' text, as it was read") {
  const Workshop shop;
  Texts texts = many_texts(50, 6);
  texts.push_back("no utf-8: \xff\xfe");
  std::vector<std::string> inputs;
  for (std::size_t i = 0; i < texts.size(); ++i)
    inputs.push_back(shop.add("in/" + std::to_string(i), texts[i]));
  const PrepareSummary summary = prepare(shop.with_holdout(inputs, 0.999));
  std::string expected;
  for (const std::string& text : texts) {
    if (is_held_out(text, 0.999)) expected += text;
  }
  CHECK(read_bytes(shop.path("holdout.txt")) == expected);
  CHECK(summary.holdout.text_bytes == static_cast<std::int64_t>(expected.size()));
  PosixFileSystem files;
  const TokenStore store(files, shop.path("holdout.h5"));
  CHECK(store.text_bytes() == static_cast<std::int64_t>(expected.size()));
  CHECK(store.config().part == StorePart::holdout);
  CHECK(store.config().holdout_fraction == 0.999);
  CHECK(TokenStore(files, shop.path("out.h5")).config().part == StorePart::train);
}

TEST_CASE("train-tokenizer leaves out what prepare holds out at the same fraction") {
  const Workshop shop;
  const std::string input = shop.add_lines("a.jsonl", many_texts(300, 7));
  const PrepareSummary prepared = prepare(shop.with_holdout({input}, 0.2));
  PosixFileSystem files;
  TrainTokenizer options;
  options.documents.inputs = {input};
  options.bpe.vocab_size = 300;
  options.out = shop.path("tokenizer.json");
  options.holdout_fraction = 0.2;
  const TrainedTokenizer trained = train_tokenizer(files, options);
  CHECK(trained.left_out.documents == prepared.holdout.documents);
  CHECK(trained.left_out.text_bytes == prepared.holdout.text_bytes);
  CHECK(trained.read.documents == prepared.train.documents);
  CHECK(Tokenizer::load(options.out.string()).digest() == trained.tokenizer.digest());
  CHECK_THROWS_WITH(train_tokenizer(files, options), Catch::Contains("--replace"));
}

TEST_CASE("what is wrong with train-tokenizer's options is said before anything is read") {
  const Workshop shop;
  PosixFileSystem files;
  TrainTokenizer options;
  options.documents.inputs = {shop.add("a.txt", "text")};
  options.bpe.vocab_size = 258;
  options.out = shop.path("nowhere") / "tokenizer.json";
  options.progress = [](const ReadProgress&) { throw std::runtime_error("read"); };
  CHECK_THROWS_WITH(train_tokenizer(files, options), Catch::Contains("there is no folder"));
  options.out = shop.path("tokenizer.json");
  options.holdout_fraction = 1;
  CHECK_THROWS_WITH(train_tokenizer(files, options), Catch::Contains("--holdout-fraction 1"));
  options.holdout_fraction = 0;
  CHECK_THROWS_WITH(train_tokenizer(files, options), "read");
}

TEST_CASE("what was met in the texts is counted") {
  const Workshop shop;
  const std::vector<std::string> inputs{
      shop.add("bom.txt", "\xef\xbb\xbfmark"),
      shop.add("crlf.txt", "a\r\nb\r\n"),
      shop.add("nul.txt", std::string("a\0b\0", 4)),
      shop.add("invalid.txt", "a\xff\xe2\x82z"),
      shop.add("special.txt", "<|end_of_text|> and <|begin_of_text|><|end_of_text|>"),
      shop.add("empty.txt", ""),
      shop.add("only_mark.txt", "\xef\xbb\xbf"),
  };
  const PrepareSummary summary = prepare(shop.options(inputs));
  CHECK(summary.byte_order_marks == 2);
  CHECK(summary.findings.with_crlf == 1);
  CHECK(summary.findings.with_nul == 1);
  CHECK(summary.findings.invalid_utf8 == 1);
  CHECK(summary.findings.replacements == 2);
  CHECK(summary.findings.special_names == 3);
  CHECK(summary.findings.empty == 2);
  CHECK(summary.train.documents == 5);
  CHECK(summary.findings.longest_tokens == 15 + 5 + 17 + 15 + 2);
  const std::string text = describe(summary);
  for (const char* line :
       {"store: 5 documents", "2 byte order marks, dropped", "2 U+FFFD in place of invalid UTF-8",
        "2 documents without text, dropped", "3 names of special tokens, encoded as text"}) {
    CHECK_THAT(text, Catch::Contains(line));
  }
  CHECK_THAT(text, !Catch::Contains("symbolic links"));
}

TEST_CASE("text bytes count what was read, before U+FFFD; the ids are of the text with it") {
  const Workshop shop;
  prepare(shop.options({shop.add("a.txt", "a\xff")}));
  PosixFileSystem files;
  const TokenStore store(files, shop.path("out.h5"));
  CHECK(store.text_bytes() == 2);
  CHECK(ids_of(store, 0) == std::vector<std::int32_t>{kByteBos, 'a', 0xef, 0xbf, 0xbd, kByteEos});
}

TEST_CASE("a special token's name in a text never becomes its id") {
  const Workshop shop;
  const std::string text = "x<|end_of_text|><|begin_of_text|>";
  prepare(shop.options({shop.add("a.txt", text)}));
  CHECK(texts_of(shop.path("out.h5")) == Texts{text});
}

TEST_CASE("a bad document is an error with its place, of several the first, and nothing is left behind") {
  const Workshop shop;
  std::string lines;
  for (const std::string& text : many_texts(3000, 8)) lines += '"' + text + "\"\n";
  const std::string good = shop.add("good.jsonl", lines);
  const std::string bad = shop.add("bad.jsonl", "\"ok\"\n{\"other\": 1}\n" + lines + "nonsense\n");
  PrepareOptions options = shop.with_holdout({good, bad}, 0.1);
  options.threads = 5;
  CHECK_THAT(trouble(options), Catch::Contains("bad.jsonl:2: has no string under \"text\""));
  CHECK(shop.files("out").empty());
  CHECK(shop.files("holdout").empty());

  options.documents.bad = BadInput::skip;
  const PrepareSummary summary = prepare(options);
  CHECK(summary.findings.bad == 2);
  CHECK(summary.train.documents + summary.holdout.documents == 6001);
  CHECK_THAT(describe(summary), Catch::Contains("2 bad documents, passed over"));
}

TEST_CASE("a pattern that is too slow is never a bad document, which would depend on the machine") {
  const Workshop shop;
  PosixFileSystem files;
  // Quadratic, though no match takes many steps (tests/data/tokenizer/split_test.cpp).
  PrepareOptions options = shop.options({shop.add("slow.txt", std::string(400'000, 'a'))});
  options.documents.bad = BadInput::skip;
  CHECK_THROWS_WITH(prepare(files, byte_tokenizer(R"(\p{L}*!|\p{L})"), options),
                    Catch::Contains("slow.txt: ") && Catch::Contains("s of CPU time"));
  CHECK(shop.files("out").empty());
}

TEST_CASE("a document on which the pattern takes too many steps is a bad one, on every machine") {
  const Workshop shop;
  PosixFileSystem files;
  PrepareOptions options =
      shop.options({shop.add("slow.txt", std::string(5000, 'a')), shop.add("text.txt", "a!")});
  options.documents.bad = BadInput::skip;
  CHECK(prepare(files, byte_tokenizer("(?:a+)+[!?]"), options).findings.bad == 1);
}

TEST_CASE("a file that exists is kept unless it is to be replaced") {
  const Workshop shop;
  const std::string input = shop.add("a.txt", "text");
  for (const char* name : {"out.h5", "holdout.h5", "holdout.txt"}) {
    shop.add(name, "precious");
    CHECK_THAT(trouble(shop.with_holdout({input}, 0.5), Exit::usage),
               Catch::Contains(name) && Catch::Contains("--replace"));
    CHECK(read_bytes(shop.path(name)) == "precious");
    CHECK(shop.files("out").size() + shop.files("holdout").size() == 1);
    std::filesystem::remove(shop.path(name));
  }
  shop.add("out.h5", "old");
  PrepareOptions replacing = shop.options({input});
  replacing.existing = Existing::replace;
  prepare(replacing);
  CHECK(texts_of(shop.path("out.h5")) == Texts{"text"});
}

TEST_CASE("what an earlier writer of an output left is named, whichever output it is") {
  const Workshop shop;
  const std::string input = shop.add("a.txt", "text");
  for (const char* left : {"out.h5.partial", "holdout.h5.partial.documents", "holdout.txt.partial"}) {
    shop.add(left, "");
    CHECK_THAT(trouble(shop.with_holdout({input}, 0.5), Exit::usage),
               Catch::Contains(cat(left, ": exists")) && Catch::Contains("if none runs, remove it"));
    CHECK(shop.files("out").size() + shop.files("holdout").size() == 1);
    std::filesystem::remove(shop.path(left));
  }
}

TEST_CASE("Megatron's ids are copied, and their text is what they decode to") {
  const Workshop shop;
  const MegatronFiles made = megatron_files({{256, 'h', 'i', 257}, {}, {'x'}});
  shop.add("m.bin", made.bin);
  PrepareOptions options = shop.options({shop.add("m.idx", made.idx)});
  options.documents.form = DocumentForm::megatron;
  const PrepareSummary summary = prepare(options);
  PosixFileSystem files;
  const TokenStore store(files, options.out);
  REQUIRE(store.document_count() == 2);
  CHECK(ids_of(store, 0) == std::vector<std::int32_t>{256, 'h', 'i', 257});
  CHECK(ids_of(store, 1) == std::vector<std::int32_t>{'x'});
  CHECK(store.text_bytes_of(0) == 2);
  CHECK_FALSE(store.config().bos);
  CHECK(summary.findings.empty == 1);
}

TEST_CASE("Megatron's ids beyond the tokenizer's are an error") {
  const Workshop shop;
  const MegatronFiles made = megatron_files({{258}});
  shop.add("m.bin", made.bin);
  PrepareOptions options = shop.options({shop.add("m.idx", made.idx)});
  options.documents.form = DocumentForm::megatron;
  CHECK_THAT(trouble(options), Catch::Contains("holds id 258, the tokenizer has 258"));
}

TEST_CASE("options that don't go together are usage errors") {
  const Workshop shop;
  const std::string input = shop.add("a.txt", "text");
  PrepareOptions fraction = shop.with_holdout({input}, 1.0), alone = shop.options({input}),
                 unused = shop.with_holdout({input}, 0), same = shop.with_holdout({input}, 0.1),
                 threads = shop.options({input});
  alone.holdout_fraction = 0.1;
  same.holdout_out = same.out;
  threads.threads = 0;
  CHECK_THAT(trouble(fraction, Exit::usage), Catch::Contains("--holdout-fraction 1"));
  CHECK_THAT(trouble(alone, Exit::usage), Catch::Contains("--holdout-out"));
  CHECK_THAT(trouble(unused, Exit::usage), Catch::Contains("above 0"));
  CHECK_THAT(trouble(same, Exit::usage), Catch::Contains("different files"));
  same.holdout_out = shop.path("holdout.h5");
  std::filesystem::create_directory_symlink(shop.path("."), shop.path("link"));
  for (const char* again : {"./holdout.h5", "link/out.h5"}) {
    same.holdout_text = shop.path(again);
    CHECK_THAT(trouble(same, Exit::usage), Catch::Contains("different files"));
  }
  CHECK_THAT(trouble(threads, Exit::usage), Catch::Contains("--threads 0"));
}

TEST_CASE("the space for all of the input is estimated from its beginning") {
  const SpaceEstimate half{.output = 3'000'000, .read = 1'000'000, .total = 2'000'000};
  SpaceEstimate fits = half, full = half, unknown = half, done = half;
  fits.available = 6'000'000;
  full.available = 5'999'999;
  unknown.available = done.available = 3'000'000;
  unknown.total = 0;
  done.total = done.read;
  CHECK_FALSE(space_problem(fits));
  CHECK_FALSE(space_problem(unknown));
  CHECK_FALSE(space_problem(done));
  CHECK_THAT(*space_problem(full), Catch::Contains("about 6 MB are needed, and 5.9 MB are free"));
}

TEST_CASE("an exception of the progress callback ends preparing and leaves nothing behind") {
  const Workshop shop;
  PrepareOptions options = shop.options({shop.add_lines("a.jsonl", many_texts(200, 9))});
  options.progress = [](const ReadProgress&) { throw std::runtime_error("enough"); };
  CHECK_THROWS_WITH(prepare(options), "enough");
  CHECK(shop.files("out").empty());
}

}  // namespace drover
