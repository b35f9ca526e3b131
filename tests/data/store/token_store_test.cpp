#include "data/store/token_store.h"

#include <array>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/tensor/memory.h"
#include "data/batch/loader.h"
#include "data/store/inspect.h"
#include "data/store/writer.h"
#include "tests/support/byte_tokenizer.h"
#include "tests/support/process_memory.h"
#include "tests/support/recording_filesystem.h"
#include "tests/support/store_builder.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/test_support.h"

using namespace drover;

namespace {

const std::string kDigest(32, 'a');

struct Sample {
  std::vector<std::vector<std::int32_t>> documents;
  std::int64_t vocab_size = 0;
};

// Ragged documents, ids up to the last of the vocabulary.
Sample sample(std::int64_t vocab_size, std::int64_t documents, std::int64_t longest) {
  Sample sample{.vocab_size = vocab_size};
  std::uint64_t state = 1;
  const auto next = [&](std::int64_t below) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return static_cast<std::int64_t>((state >> 33) % static_cast<std::uint64_t>(below));
  };
  for (std::int64_t d = 0; d < documents; ++d) {
    std::vector<std::int32_t> ids(static_cast<std::size_t>(1 + next(longest)));
    for (auto& id : ids) id = static_cast<std::int32_t>(next(vocab_size));
    ids[0] = static_cast<std::int32_t>(vocab_size - 1);
    sample.documents.push_back(ids);
  }
  return sample;
}

void write(FileSystem& files, const std::filesystem::path& path, const Sample& sample) {
  StoreWriter writer(files,
                     {.path = path, .vocab_size = sample.vocab_size, .tokenizer_digest = kDigest, .bos = 1});
  for (const auto& ids : sample.documents) writer.add(ids, static_cast<std::int64_t>(3 * ids.size()));
  writer.finish();
  writer.publish();
}

std::vector<std::int32_t> all_ids(const Sample& sample) {
  std::vector<std::int32_t> all;
  for (const auto& ids : sample.documents) all.insert(all.end(), ids.begin(), ids.end());
  return all;
}

// What happens when the store is opened and checked in full: "" or the error's text.
std::string trouble(FileSystem& files, const std::filesystem::path& path) {
  try {
    TokenStore(files, path).verify();
    return "";
  } catch (const Error& error) {
    CHECK(error.exit() == Exit::input);
    return error.what();
  }
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

BuildStore three_documents() {
  return {.ids = {256, 65, 257, 256, 66, 67, 257, 256, 68, 257},
          .offsets = {0, 3, 7, 10},
          .text_bytes = {1, 2, 1}};
}

std::string output_of(const std::string& command) {
  std::string output;
  FILE* pipe = popen(command.c_str(), "r");
  REQUIRE(pipe != nullptr);
  std::array<char, 4096> buffer;
  while (const std::size_t count = fread(buffer.data(), 1, buffer.size(), pipe))
    output.append(buffer.data(), count);
  CHECK(pclose(pipe) == 0);
  return output;
}

}  // namespace

TEST_CASE("a token store gives back what was written, in two or four bytes an id") {
  const auto [vocab_size, type] =
      GENERATE(std::pair{65536, StoredType::uint16}, std::pair{65537, StoredType::uint32});
  RecordingFileSystem files;
  const Sample written = sample(vocab_size, 900, 6000);  // above 4 MiB: several extents
  write(files, "store.h5", written);

  const TokenStore store(files, "store.h5");
  store.verify();
  CHECK(store.config().token_type == type);
  CHECK(store.vocab_size() == vocab_size);
  CHECK(store.tokenizer_digest() == kDigest);
  CHECK(store.config().bos == 1);
  CHECK_FALSE(store.config().eos);
  REQUIRE(store.document_count() == 900);
  std::vector<std::int32_t> ids(static_cast<std::size_t>(store.total_tokens()));
  store.read(0, ids);
  CHECK(ids == all_ids(written));
  CHECK(store.text_bytes() == 3 * store.total_tokens());
  std::int64_t begin = 0;
  for (std::int64_t d = 0; d < 900; ++d) {
    const auto length = static_cast<std::int64_t>(written.documents[static_cast<std::size_t>(d)].size());
    REQUIRE(store.offset(d) == begin);
    REQUIRE(store.text_bytes_of(d) == 3 * length);
    begin += length;
  }
  CHECK(store.offset(900) == begin);
}

TEST_CASE("the store's writer and the format's description agree to the byte") {
  RecordingFileSystem files;
  build_store(files, "built.h5", three_documents());
  StoreWriter writer(files, {.path = "written.h5", .vocab_size = 258, .tokenizer_digest = kDigest});
  writer.add(std::vector<std::int32_t>{256, 65, 257}, 1);
  writer.add(std::vector<std::int32_t>{256, 66, 67, 257}, 2);
  writer.add(std::vector<std::int32_t>{256, 68, 257}, 1);
  writer.finish();
  writer.publish();
  CHECK(files.bytes("written.h5") == files.bytes("built.h5"));
}

TEST_CASE("a token store without documents is legal") {
  RecordingFileSystem files;
  write(files, "store.h5", sample(300, 0, 1));
  const TokenStore store(files, "store.h5");
  store.verify();
  CHECK(store.document_count() == 0);
  CHECK(store.total_tokens() == 0);
}

TEST_CASE("a store's name follows its content, not its place") {
  RecordingFileSystem files;
  write(files, "a.h5", sample(300, 5, 40));
  write(files, "b.h5", sample(300, 5, 40));
  write(files, "c.h5", sample(300, 5, 41));
  CHECK(TokenStore(files, "a.h5").name() == TokenStore(files, "b.h5").name());
  CHECK(TokenStore(files, "a.h5").name() != TokenStore(files, "c.h5").name());
}

TEST_CASE("a flipped bit is found, wherever in a store's data it is") {
  RecordingFileSystem files;
  write(files, "store.h5", sample(8192, 600, 9000));
  REQUIRE(trouble(files, "store.h5").empty());
  const std::vector<Hdf5Dataset> datasets = Hdf5File(files, "store.h5").datasets();
  CHECK(datasets.size() == 8);
  for (const Hdf5Dataset& dataset : datasets) {
    for (const std::int64_t at : {std::int64_t{0}, dataset.bytes() / 2, dataset.bytes() - 1}) {
      std::byte& byte = files.bytes("store.h5")[static_cast<std::size_t>(dataset.offset + at)];
      byte ^= std::byte{4};
      INFO("/" << dataset.path << " byte " << at);
      CHECK(contains(trouble(files, "store.h5"), "store.h5"));
      byte ^= std::byte{4};
    }
  }
  CHECK(trouble(files, "store.h5").empty());
}

TEST_CASE("damage is reported with the bytes that hold it") {
  RecordingFileSystem files;
  write(files, "store.h5", sample(8192, 600, 9000));
  const std::int64_t offset = Hdf5File(files, "store.h5").dataset("tokens", StoredType::uint16, 1).offset;
  files.bytes("store.h5")[static_cast<std::size_t>(offset + (4 << 20) + 9)] ^= std::byte{1};
  const std::string text = trouble(files, "store.h5");
  INFO(text);
  CHECK(contains(text, "bytes 4194304 to "));
  CHECK(contains(text, "of /tokens"));
  CHECK(contains(text, "restore it from a copy"));
}

TEST_CASE("a flipped bit is found by whoever reads its extent first, though every id and offset could be") {
  RecordingFileSystem files;
  write(files, "store.h5", sample(8192, 600, 9000));
  const auto flip = [&files](std::string_view dataset, StoredType type, std::int64_t at) {
    const std::int64_t offset = Hdf5File(files, "store.h5").dataset(dataset, type, 1).offset;
    files.bytes("store.h5")[static_cast<std::size_t>(offset + at)] ^= std::byte{1};
  };
  const auto read = [](const TokenStore& store, std::int64_t begin) {
    std::vector<std::int32_t> ids(100);
    store.read(begin, ids);
  };
  flip("tokens", StoredType::uint16, (4 << 20) + 8);
  {
    const TokenStore store(files, "store.h5");
    CHECK_NOTHROW(read(store, 0));
    CHECK_NOTHROW(read(store, (2 << 20) - 100));
    for (const std::int64_t begin :
         {(2 << 20) - 99, 2 << 20, (2 << 20) + 50'000})  // the first, or any later time
      CHECK_THROWS_WITH(read(store, begin), Catch::Contains("store.h5: bytes 4194304 to ") &&
                                                Catch::Contains("/tokens") && Catch::Contains("restore it"));
  }
  flip("tokens", StoredType::uint16, (4 << 20) + 8);
  CHECK_NOTHROW(read(TokenStore(files, "store.h5"), 2 << 20));
  flip("document_offsets", StoredType::int64, 300 * 8);
  CHECK_THROWS_WITH(TokenStore(files, "store.h5"), Catch::Contains("/document_offsets"));
}

TEST_CASE("a store that is cut off is refused before anything is read from it") {
  RecordingFileSystem files;
  write(files, "store.h5", sample(300, 50, 900));
  const std::vector<std::byte> whole = files.bytes("store.h5");
  for (const std::size_t size : {std::size_t{0}, std::size_t{100}, whole.size() / 2, whole.size() - 1}) {
    files.bytes("store.h5") = whole;
    files.bytes("store.h5").resize(size);
    CHECK_THROWS_AS(TokenStore(files, "store.h5"), Error);
  }
}

TEST_CASE("an HDF5 file that is no token store is named as such") {
  RecordingFileSystem files;
  BuildStore other = three_documents();
  other.format = "something else";
  build_store(files, "other.h5", other);
  CHECK(contains(trouble(files, "other.h5"), "no token store"));
}

TEST_CASE("sizes that contradict each other are refused when the store is opened") {
  RecordingFileSystem files;
  BuildStore store = three_documents();
  const auto [key, value] = GENERATE(
      std::pair{"\"tokens\": 10", "\"tokens\": 4000000000000000"},
      std::pair{"\"tokens\": 10", "\"tokens\": -1"}, std::pair{"\"tokens\": 10", "\"tokens\": 1e30"},
      std::pair{"\"documents\": 3", "\"documents\": 2"},
      std::pair{"\"documents\": 3", "\"documents\": 576460752303423487"},
      std::pair{"\"vocab_size\": 258", "\"vocab_size\": 70000"},
      std::pair{"\"vocab_size\": 258", "\"vocab_size\": 0"}, std::pair{"\"version\": 1", "\"version\": 2"},
      std::pair{"\"extent_bytes\": 4194304", "\"extent_bytes\": 0"},
      std::pair{"\"bos\": null", "\"bos\": 258"}, std::pair{"{", "[[[[[[[["});
  store.replace_in_json = key;
  store.replacement = value;
  build_store(files, "store.h5", store);
  INFO(value);
  CHECK_THROWS_AS(TokenStore(files, "store.h5"), Error);
}

TEST_CASE("document offsets that leave the tokens are refused, at the ends on opening and elsewhere on use") {
  RecordingFileSystem files;
  BuildStore store = three_documents();
  store.offsets = {0, 3, 7, 11};
  build_store(files, "beyond.h5", store);
  CHECK(contains(trouble(files, "beyond.h5"), "document 3 starts at token 11 of 10"));
  store.offsets = {0, 3, 7, 9};
  build_store(files, "short.h5", store);
  CHECK(contains(trouble(files, "short.h5"), "go from token 0 to 9, not from 0 to 10"));

  store.offsets = {0, 3, std::int64_t{1} << 60, 10};
  build_store(files, "inner.h5", store);
  const TokenStore inner(files, "inner.h5");
  CHECK(inner.offset(1) == 3);
  CHECK_THROWS_AS(inner.offset(2), Error);
}

TEST_CASE("offsets that decrease are found by verify") {
  RecordingFileSystem files;
  BuildStore store = three_documents();
  store.offsets = {0, 7, 3, 10};
  build_store(files, "store.h5", store);
  CHECK(contains(trouble(files, "store.h5"), "document 2 starts before the one before it"));
}

TEST_CASE("text bytes that do not add up are found by verify") {
  RecordingFileSystem files;
  BuildStore store = three_documents();
  store.replace_in_json = "\"text_bytes\": 4";
  store.replacement = "\"text_bytes\": 5";
  build_store(files, "store.h5", store);
  CHECK(contains(trouble(files, "store.h5"), "1 bytes of text too few"));
}

TEST_CASE("an id outside of the vocabulary is refused where it is read") {
  RecordingFileSystem files;
  BuildStore store = three_documents();
  store.ids[8] = 258;
  build_store(files, "store.h5", store);
  const TokenStore opened(files, "store.h5");
  std::vector<std::int32_t> ids(8);
  CHECK_NOTHROW(opened.read(0, ids));
  CHECK_THROWS_AS(opened.read(2, ids), Error);
  CHECK(contains(trouble(files, "store.h5"), "token 8 is id 258"));
}

TEST_CASE("whatever change fails for want of space, no store and nothing else is left") {
  const Sample documents = sample(300, 20, 50);
  RecordingFileSystem all;
  write(all, "store.h5", documents);
  const auto changes = static_cast<int>(all.changes().size());
  REQUIRE(changes > 8);
  for (int at = 0; at + 1 < changes; ++at) {  // the last one is the sync of the published name
    RecordingFileSystem files;
    files.inject({.at = at});
    INFO("change " << at);
    try {
      write(files, "store.h5", documents);
      CHECK(all.changes()[static_cast<std::size_t>(at)].kind == RecordingFileSystem::Change::Kind::remove);
    } catch (const Error&) {
      CHECK(files.list("").empty());
    }
  }
}

TEST_CASE("cut off after any change, by a kill or a power cut, there is a whole store or none") {
  const Sample documents = sample(300, 20, 50);
  RecordingFileSystem all;
  write(all, "store.h5", documents);
  const auto changes = all.changes();
  for (const Crash how : {Crash::process, Crash::power, Crash::names}) {
    for (std::size_t count = 0; count <= changes.size(); ++count) {
      RecordingFileSystem files;
      for (std::size_t i = 0; i < count; ++i) files.apply(changes[i]);
      files.crash(how);
      INFO("after " << count << " of " << changes.size());
      if (files.exists("store.h5")) CHECK(trouble(files, "store.h5").empty());
      if (count == changes.size()) CHECK(files.exists("store.h5"));
    }
  }
}

TEST_CASE("an existing store and another writer's file are refused by name") {
  RecordingFileSystem files;
  const WriteStore options{.path = "store.h5", .vocab_size = 300, .tokenizer_digest = kDigest};
  {
    StoreWriter writing(files, options);
    CHECK_THROWS_AS(StoreWriter(files, options), Error);
    CHECK(files.exists("store.h5.partial"));
  }
  CHECK(files.list("").empty());
  write(files, "store.h5", sample(300, 3, 4));
  CHECK_THROWS_AS(StoreWriter(files, options), Error);
}

TEST_CASE("a store of ten billion tokens is opened, read and fed in a few megabytes") {
  const TemporaryFolder folder;
  PosixFileSystem files;
  constexpr std::int64_t kDocuments = 10'000, kLength = 1'000'000;
  BuildStore sparse{.zero_ids = kDocuments * kLength};
  for (std::int64_t d = 0; d <= kDocuments; ++d) sparse.offsets.push_back(d * kLength);
  sparse.text_bytes.assign(kDocuments, 4 * kLength);
  build_store(files, folder.path() / "large.h5", sparse);

  const std::int64_t before = anonymous_kilobytes();
  const TokenStore store(files, folder.path() / "large.h5");
  CHECK(store.total_tokens() == 10'000'000'000);
  std::vector<std::int32_t> row(4097, -1);
  for (std::int64_t i = 0; i < 200; ++i) {
    row.assign(row.size(), -1);
    store.read(i * 49'999'000, row);
    REQUIRE(row == std::vector<std::int32_t>(4097, 0));
    REQUIRE(store.offset(i * 50) == i * 50 * kLength);
  }
  const std::int64_t opened_and_read = anonymous_kilobytes() - before;

  HostMemory memory;
  Loader loader(memory, {.sources = {&store},
                         .phases = {{.sequence_length = 4096, .batch_tokens = 65536, .weights = {1}}}});
  for (int step = 0; step < 20; ++step) REQUIRE(loader.next().batch_tokens == 65536);
  const std::int64_t fed = anonymous_kilobytes() - before;
  if (!kAnonymousMemoryIsOurs)
    DROVER_SKIP_TEST("uninstrumented", "the thread sanitizer's own memory grows with what is mapped");
  CHECK(opened_and_read < 4096);
  CHECK(fed < 8192);
}

TEST_CASE("inspect shows what a store holds, and decodes its beginning with the tokenizer that made it") {
  RecordingFileSystem files;
  const Tokenizer tokenizer = byte_tokenizer();
  StoreWriter writer(files, {.path = "store.h5", .vocab_size = 258, .tokenizer_digest = tokenizer.digest()});
  writer.add(std::vector<std::int32_t>{256, 'h', 'i', 257}, 2);
  writer.finish();
  writer.publish();
  const std::string text =
      inspect_store(files, {.path = "store.h5", .tokenizer = &tokenizer, .verify = true});
  INFO(text);
  CHECK(contains(text, "documents         1"));
  CHECK(contains(text, tokenizer.digest()));
  CHECK(contains(text, "256 104 105 257"));
  CHECK(contains(text, "<|begin_of_text|>hi<|end_of_text|>"));

  write(files, "other.h5", sample(300, 3, 4));
  CHECK_THROWS_AS(inspect_store(files, {.path = "other.h5", .tokenizer = &tokenizer}), Error);
}

TEST_CASE("inspect samples the documents of a large store up to its end") {
  RecordingFileSystem files;
  constexpr std::int64_t kShort = 1'000'000, kLong = 500'000;  // documents, of one token and then of three
  BuildStore store{.zero_ids = kShort + 3 * kLong,
                   .text_bytes = std::vector<std::int64_t>(kShort + kLong, 1)};
  for (std::int64_t d = 0; d <= kShort; ++d) store.offsets.push_back(d);
  for (std::int64_t d = 1; d <= kLong; ++d) store.offsets.push_back(kShort + 3 * d);
  build_store(files, "store.h5", store);
  const std::string text = inspect_store(files, {.path = "store.h5"});
  INFO(text);
  CHECK(contains(text, "(1000000 documents, evenly spaced): shortest 1, longest 3"));
  CHECK(contains(text, "below            2      666667"));
  CHECK(contains(text, "below            4      333333"));
}

TEST_CASE("the h5py reader of docs/token_store.md reads a store, on a machine without Drover") {
  const TemporaryFolder folder;
  PosixFileSystem files;
  const Sample written = sample(GENERATE(300, 70000), 7, 12);
  write(files, folder.path() / "store.h5", written);
  const char* source = std::getenv("DROVER_SOURCE_DIR");
  const std::string root = source ? source : ".";
  const std::string output =
      output_of(cat("/usr/bin/python3 -B ", root, "/tests/interop/read_token_store.py ", root,
                    "/docs/token_store.md ", (folder.path() / "store.h5").string()));
  const auto read = nlohmann::json::parse(output);
  CHECK(read["documents"].get<std::vector<std::vector<std::int32_t>>>() == written.documents);
  CHECK(read["config"]["vocab_size"] == written.vocab_size);
}
