#include "data/documents/documents.h"

#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <thread>

#include "core/base/error.h"
#include "tests/support/file_bytes.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/test_support.h"

namespace drover {
namespace {

using namespace std::string_literals;

using Texts = std::vector<std::string>;

ReadDocuments reading(const std::vector<std::string>& inputs) {
  ReadDocuments options;
  options.inputs = inputs;
  return options;
}

Texts texts_of(DocumentReader& reader) {
  Texts texts;
  RawDocument raw;
  while (reader.next(raw)) {
    std::string text;
    const auto problem = take_text(raw, reader.options().text_key, text);
    if (problem) throw input_error(reader.place(raw), ": ", *problem);
    texts.push_back(text);
  }
  return texts;
}

Texts texts_of(const ReadDocuments& options) {
  DocumentReader reader(options);
  return texts_of(reader);
}

// The message of the input error that reading ends with.
std::string trouble(const ReadDocuments& options) {
  try {
    texts_of(options);
  } catch (const Error& error) {
    CHECK(error.exit() == Exit::input);
    return error.what();
  }
  return "";
}

class Folder {
 public:
  std::string add(const std::string& name, std::string_view bytes) {
    return write_bytes(folder_.path() / name, bytes);
  }
  std::string path(const std::string& name = "") const { return (folder_.path() / name).string(); }

 private:
  TemporaryFolder folder_;
};

}  // namespace

TEST_CASE("a text file is one document, kept to the byte") {
  Folder folder;
  const std::string text = "one\r\ntwo\0three\xff\xfe \xe2\x82<|end_of_text|>\n\n"s;
  CHECK(texts_of(reading({folder.add("a.txt", text)})) == Texts{text});
  CHECK(texts_of(reading({folder.add("no_extension", text)})) == Texts{text});
}

TEST_CASE("an empty file is an empty document") {
  Folder folder;
  CHECK(texts_of(reading({folder.add("a.txt", "")})) == Texts{""});
  CHECK(texts_of(reading({folder.add("a.jsonl", "")})).empty());
  CHECK(texts_of(reading({folder.add("a.json", "")})).empty());
}

TEST_CASE("a line of JSON Lines is one document, an object or a string; blank lines are passed over") {
  Folder folder;
  const std::string lines =
      "{\"text\": \"one\"}\n\n \t\r\n\"two\"\r\n{\"id\": 7, \"text\": \"\", \"more\": {\"text\": "
      "\"inner\"}}\n"
      "{\"text\": \"early\", \"text\": \"late\"}";
  for (const char* name : {"a.jsonl", "a.ndjson"}) {
    CHECK(texts_of(reading({folder.add(name, lines)})) == Texts{"one", "two", "", "late"});
  }
}

TEST_CASE("JSON escapes become the text they stand for") {
  Folder folder;
  const std::string line = R"({"text": "a\r\n\u0000\u00e9\ud83d\ude00\"\\"})";
  CHECK(texts_of(reading({folder.add("a.jsonl", line)})) ==
        Texts{std::string("a\r\n\0\xc3\xa9\xf0\x9f\x98\x80\"\\", 12)});
}

TEST_CASE("--text-key names where the text is") {
  Folder folder;
  ReadDocuments options = reading({folder.add("a.jsonl", R"({"text": "no", "content": "yes"})")});
  options.text_key = "content";
  CHECK(texts_of(options) == Texts{"yes"});
}

TEST_CASE("the values of a .json are documents, in one array or one after another") {
  Folder folder;
  const Texts expected{"a]", "b\"}", "c"};
  const std::string values[] = {
      R"([{"text": "a]"}, {"text": "b\"}"}, "c"])",
      "  [\n{\"text\": \"a]\"}\n,\n{\"text\": \"b\\\"}\"},\"c\" ]\n",
      R"({"text": "a]"}{"text": "b\"}"} "c")",
  };
  for (const std::string& value : values) CHECK(texts_of(reading({folder.add("a.json", value)})) == expected);
}

TEST_CASE("a byte order mark at the start of a file is dropped and counted, elsewhere it is kept") {
  Folder folder;
  const std::string mark = "\xef\xbb\xbf";
  DocumentReader reader(
      reading({folder.add("a.txt", mark + "x" + mark), folder.add("b.jsonl", mark + "\"y\""),
               folder.add("c.txt", mark), folder.add("d.txt", "\xef\xbb")}));
  CHECK(texts_of(reader) == Texts{"x" + mark, "y", "", "\xef\xbb"});
  CHECK(reader.byte_order_marks() == 3);
}

TEST_CASE("gzip and Zstandard are recognised by their first bytes, all members and frames are read") {
  Folder folder;
  const std::string one = "\"one\"\n\"tw", two = "o\"\n\"three\"";
  const Texts expected{"one", "two", "three"};
  CHECK(texts_of(reading({folder.add("a.jsonl.gz", gzip_member(one) + gzip_member(two))})) == expected);
  CHECK(texts_of(reading({folder.add("a.jsonl.zst", zstd_frame(one) + zstd_frame(two))})) == expected);
  CHECK(texts_of(reading({folder.add("b.jsonl", gzip_member(one + two))})) == expected);
  CHECK(texts_of(reading({folder.add("c.jsonl", zstd_frame(one + two))})) == expected);
  CHECK(texts_of(reading({folder.add("d.txt.gz", gzip_member("text"))})) == Texts{"text"});
}

TEST_CASE(
    "a .zst may begin with any of the sixteen skippable frames, and have one before each frame, as pzstd "
    "has") {
  Folder folder;
  const auto skippable = [](int magic, std::string_view content) {
    return little_endian(0x184d2a50u + static_cast<unsigned>(magic), 4) + little_endian(content.size(), 4) +
           std::string(content);
  };
  for (int magic = 0; magic < 16; ++magic)
    CHECK(texts_of(reading({folder.add("a.txt.zst", skippable(magic, "metadata") + zstd_frame("text"))})) ==
          Texts{"text"});
  std::string parallel;
  for (const char* part : {"one ", "two"}) {
    const std::string frame = zstd_frame(part);
    parallel += skippable(0, little_endian(frame.size(), 4)) + frame;
  }
  CHECK(texts_of(reading({folder.add("b.txt.zst", parallel)})) == Texts{"one two"});
  CHECK(texts_of(reading({folder.add("c.txt", "P*M\x18 is text")})) == Texts{"P*M\x18 is text"});
}

TEST_CASE("compressed data that is damaged, cut off or missing is an error that names the file") {
  Folder folder;
  const std::string gzip = gzip_member("some text"), zstd = zstd_frame("some text");
  std::string wrong_sum = gzip;
  wrong_sum[wrong_sum.size() - 8] ^= 1;
  const std::pair<const char*, std::string> cases[] = {
      {"sum.gz", wrong_sum},
      {"cut.gz", gzip.substr(0, gzip.size() - 9)},
      {"none.gz", "plain text"},
      {"empty.gz", ""},
      {"cut.zst", zstd.substr(0, zstd.size() - 1)},
      {"none.zst", "plain text"},
      {"tail.gz", gzip + "garbage that is no member"},
  };
  for (const auto& [name, bytes] : cases) {
    INFO(name);
    CHECK_THAT(trouble(reading({folder.add(name, bytes)})), Catch::Contains(name));
  }
}

TEST_CASE("a Zstandard window above 128 MiB is refused with the way round it") {
  Folder folder;
  const std::string window_of_256_mib =
      "\x28\xb5\x2f\xfd" + std::string("\0\x90", 2) + "\x09" + std::string(40, 'a');
  CHECK_THAT(trouble(reading({folder.add("a.zst", window_of_256_mib)})), Catch::Contains("--long=31"));
}

TEST_CASE("folders are walked in bytewise order of paths; hidden names, links and pipes are counted") {
  Folder folder;
  folder.add("in/b/z.txt", "bz");
  folder.add("in/b.txt", "b.");
  folder.add("in/a.txt", "a");
  folder.add("in/B.txt", "B");
  folder.add("in/.hidden/x.txt", "hidden");
  folder.add("in/.y.txt", "hidden");
  std::filesystem::create_symlink(folder.path("in/a.txt"), folder.path("in/link.txt"));
  REQUIRE(mkfifo(folder.path("in/pipe").c_str(), 0600) == 0);
  DocumentReader reader(reading({folder.path("in")}));
  CHECK(texts_of(reader) == Texts{"B", "a", "b.", "bz"});
  CHECK(reader.inputs().hidden == 2);
  CHECK(reader.inputs().links == 1);
  CHECK(reader.inputs().special == 1);
  CHECK(texts_of(reading({folder.path("in/link.txt"), folder.path("in/a.txt")})) == Texts{"a", "a"});
}

TEST_CASE("a named pipe is waited for, and the question whether to stop is asked while it is quiet") {
  Folder folder;
  const std::string path = folder.path("pipe.jsonl");
  REQUIRE(mkfifo(path.c_str(), 0600) == 0);
  int asked = 0;
  ReadDocuments options = reading({path});
  options.check_stop = [&asked] {
    if (++asked == 3) throw std::runtime_error("stop");
  };
  CHECK_THROWS_WITH(texts_of(options), "stop");

  std::thread writer([&path] { std::ofstream(path) << "\"one\"\n\"two\""; });
  CHECK(texts_of(reading({path})) == Texts{"one", "two"});
  writer.join();
}

TEST_CASE("inputs that are missing, or have nothing to read, are errors") {
  Folder folder;
  CHECK_THAT(trouble(reading({folder.path("nowhere.txt")})), Catch::Contains("nowhere.txt"));
  folder.add("only/.hidden", "x");
  CHECK_THAT(trouble(reading({folder.path("only")})), Catch::Contains("1 hidden"));
  CHECK_THROWS_AS(DocumentReader(reading({"-", "-"})), Error);
}

TEST_CASE("a name that looks like Megatron's wants --format to say so") {
  Folder folder;
  CHECK_THAT(trouble(reading({folder.add("a.idx", "x")})), Catch::Contains("--format megatron"));
}

TEST_CASE("bad JSON is an error that names file and line") {
  Folder folder;
  const std::pair<std::string, std::string> cases[] = {
      {"\"ok\"\n{\"text\": \"x\"", ":2: is not valid JSON"},
      {"{\"text\": \"\xff\"}", ":1: is not valid JSON"},
      {"{\"text\": \"\\ud800\"}", ":1: is not valid JSON"},
      {"{\"txt\": \"x\"}", ":1: has no string under \"text\" (keys: txt)"},
      {"{\"text\": 5}", ":1: has no string under"},
      {"[\"text\"]", ":1: neither an object nor a string"},
      {"5", ":1: neither an object nor a string"},
      {"\"ok\"\n\"ok\"\nnonsense", ":3: is not valid JSON"},
  };
  for (const auto& [lines, message] : cases) {
    INFO(lines);
    CHECK_THAT(trouble(reading({folder.add("a.jsonl", lines)})), Catch::Contains("a.jsonl" + message));
  }
  CHECK_THAT(trouble(reading({folder.add("a.json", "[\"ok\", {\"no\": 1}]")})), Catch::Contains("value 2"));
}

TEST_CASE("a document above the bound is an error, or passed over and counted") {
  Folder folder;
  const std::string path = folder.add("a.jsonl", "\"12345678\"\n\"123456789\"\n\"1\"\n");
  ReadDocuments options = reading({path, folder.add("b.txt", "12345678901")});
  options.max_document_bytes = 10;
  CHECK_THAT(trouble(options), Catch::Contains("a.jsonl:2: longer than 10 bytes"));
  options.bad = BadInput::skip;
  DocumentReader reader(options);
  CHECK(texts_of(reader) == Texts{"12345678", "1"});
  CHECK(reader.too_long() == 2);
}

TEST_CASE("a line of 100 MB is a document like any other") {
  Folder folder;
  std::string line = "\"first\"\n\"";
  while (line.size() < 100'000'000) line += "a hundred million bytes, ";
  const std::size_t length = line.size() - 9;
  line += "\"\n\"last\"\n";
  const Texts texts = texts_of(reading({folder.add("a.jsonl", line)}));
  REQUIRE(texts.size() == 3);
  CHECK(texts[0] == "first");
  CHECK(texts[1].size() == length);
  CHECK(texts[2] == "last");
}

TEST_CASE("all bytes of the inputs are accounted for, so that progress can be told") {
  Folder folder;
  const std::string text(3 << 20, 'x');
  DocumentReader reader(reading({folder.add("a.txt", text), folder.add("b.txt.gz", gzip_member("b"))}));
  const auto total = static_cast<std::int64_t>(text.size() + gzip_member("b").size());
  CHECK(reader.bytes_total() == total);
  CHECK(reader.bytes_read() == 0);
  CHECK(texts_of(reader) == Texts{text, "b"});
  CHECK(reader.bytes_read() == total);
}

TEST_CASE("Megatron's documents are the ids that stand in its .bin") {
  Folder folder;
  const MegatronFiles files = megatron_files({{1, 2, 65535}, {}, {9}});
  folder.add("m.bin", files.bin);
  folder.add("m.idx", files.idx);
  for (const char* name : {"m", "m.idx", "m.bin", ""}) {  // "": the folder
    ReadDocuments options = reading({folder.path(name)});
    options.form = DocumentForm::megatron;
    DocumentReader reader(options);
    RawDocument raw;
    Texts documents;
    while (reader.next(raw)) documents.push_back(raw.bytes);
    CHECK(documents == Texts{little_endian(1, 4) + little_endian(2, 4) + little_endian(65535, 4), "",
                             little_endian(9, 4)});
  }
}

TEST_CASE("a Megatron index that does not fit its files is an error") {
  Folder folder;
  const MegatronFiles files = megatron_files({{1, 2, 3}, {9}});
  const auto trouble_with = [&](const std::string& idx, const std::string& bin) {
    folder.add("m.bin", bin);
    ReadDocuments options = reading({folder.add("m.idx", idx)});
    options.form = DocumentForm::megatron;
    DocumentReader reader(options);
    RawDocument raw;
    while (reader.next(raw)) {
    }
  };
  CHECK_NOTHROW(trouble_with(files.idx, files.bin));
  CHECK_THROWS_AS(trouble_with(files.idx, files.bin.substr(2)), Error);
  CHECK_THROWS_AS(trouble_with(files.idx.substr(0, files.idx.size() - 8), files.bin), Error);
  CHECK_THROWS_AS(trouble_with(files.idx.substr(0, 20), files.bin), Error);
  std::string negative = files.idx, type = files.idx, backwards = files.idx;
  negative.replace(34, 4, little_endian(~std::uint64_t{0}, 4));
  type[17] = 7;
  backwards.replace(backwards.size() - 8, 8, little_endian(0, 8));
  CHECK_THROWS_AS(trouble_with(negative, files.bin), Error);
  CHECK_THROWS_AS(trouble_with(type, files.bin), Error);
  CHECK_THROWS_AS(trouble_with(backwards, files.bin), Error);
}

TEST_CASE("Megatron's two files are read once when both are named, and progress counts the bytes of both") {
  Folder folder;
  const MegatronFiles files = megatron_files({{1, 2, 3}, {9, 9}});
  ReadDocuments options = reading({folder.add("m.bin", files.bin), folder.add("m.idx", files.idx)});
  options.form = DocumentForm::megatron;
  DocumentReader reader(options);
  const auto total = static_cast<std::int64_t>(files.bin.size() + files.idx.size());
  CHECK(reader.bytes_total() == total);
  RawDocument raw;
  CHECK(reader.next(raw));
  CHECK(reader.bytes_read() >= 6);
  CHECK(reader.next(raw));
  CHECK_FALSE(reader.next(raw));
  CHECK(reader.bytes_read() == total);
}

TEST_CASE("a form is known by its name") {
  CHECK(document_form_named("jsonl") == DocumentForm::jsonl);
  CHECK(document_form_named("auto") == DocumentForm::by_name);
  CHECK_THROWS_WITH(document_form_named("csv"), Catch::Contains("auto, text, jsonl, json, megatron"));
}

}  // namespace drover
