// Damaged files of every kind that data/ reads: whatever is done to them, reading succeeds or is an Error
// that blames the input. The sanitizer builds run this too.
#include <algorithm>
#include <random>

#include "core/base/error.h"
#include "data/documents/documents.h"
#include "data/store/token_store.h"
#include "data/tokenizer/tokenizer.h"
#include "tests/support/byte_tokenizer.h"
#include "tests/support/file_bytes.h"
#include "tests/support/recording_filesystem.h"
#include "tests/support/store_builder.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/test_support.h"

namespace drover {
namespace {

class Damage {
 public:
  explicit Damage(std::string whole) : whole_(std::move(whole)) {}

  // A few changes of one kind: bits flipped, the end cut off, numbers made extreme, a slice gone or doubled.
  std::string next() {
    std::string bytes = whole_;
    const auto kind = below(5);
    for (std::size_t times = 1 + below(3); times > 0 && !bytes.empty(); --times) damage(bytes, kind);
    return bytes;
  }

 private:
  std::size_t below(std::size_t bound) { return random_() % bound; }

  void damage(std::string& bytes, std::size_t kind) {
    const std::size_t at = below(bytes.size()),
                      length = 1 + below(std::min<std::size_t>(bytes.size() - at, 40));
    switch (kind) {
      case 0:
        bytes[at] = static_cast<char>(bytes[at] ^ (1 << below(8)));
        break;
      case 1:
        bytes.resize(at);
        break;
      case 2:
        bytes.replace(at, std::min<std::size_t>(8, bytes.size() - at), extreme_number());
        break;
      case 3:
        bytes.erase(at, length);
        break;
      default:
        bytes.insert(below(bytes.size()), bytes.substr(at, length));
    }
  }

  std::string extreme_number() {
    constexpr std::uint64_t kNumbers[] = {0,          1,          ~0ull, 1ull << 63, (1ull << 63) - 1,
                                          1ull << 31, 1ull << 32, 255};
    return little_endian(kNumbers[below(std::size(kNumbers))], 8);
  }

  std::string whole_;
  std::mt19937_64 random_{99};
};

struct Outcomes {
  int read = 0, refused = 0;
};

// Both must happen, or the damage was none, or everything is refused.
template <class Read>
Outcomes outcomes_of(const std::string& whole, int times, Read read) {
  REQUIRE_NOTHROW(read(whole));
  Damage damage(whole);
  Outcomes outcomes;
  for (int i = 0; i < times; ++i) {
    const std::string bytes = damage.next();
    try {
      read(bytes);
      ++outcomes.read;
    } catch (const Error& error) {
      INFO("case " << i << ": " << error.what());
      REQUIRE(error.exit() == Exit::input);
      ++outcomes.refused;
    }
  }
  return outcomes;
}

void read_all(const std::string& path, DocumentForm form) {
  ReadDocuments options;
  options.inputs = {path};
  options.form = form;
  options.bad = BadInput::skip;
  DocumentReader reader(options);
  RawDocument raw;
  std::string text;
  while (reader.next(raw)) {
    if (form != DocumentForm::megatron) take_text(raw, "text", text);
  }
}

Outcomes outcomes_of_document(const std::string& name, const std::string& whole, int times,
                              DocumentForm form) {
  const TemporaryFolder folder;
  return outcomes_of(whole, times, [&](const std::string& bytes) {
    read_all(write_bytes(folder.path() / name, bytes), form);
  });
}

const char* const kJsonLines = R"({"text": "one", "n": [1, {"text": 2}]}
"two \u00e9\ud83d\ude00"

{"text": "three", "text": "four \"}{][", "more": null}
)";

std::string tiktoken_ranks() {
  std::string lines;
  for (int byte = 0; byte < 256; ++byte) {
    // Base64 of one byte.
    constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    lines += cat(kDigits[static_cast<std::size_t>(byte >> 2)],
                 kDigits[static_cast<std::size_t>(byte & 3) << 4], "== ", byte, '\n');
  }
  return lines;
}

}  // namespace

TEST_CASE("a damaged tokenizer.json is read or refused") {
  const Outcomes outcomes = outcomes_of(byte_tokenizer().to_json(), 1500, [](const std::string& bytes) {
    Tokenizer::from_json(bytes, "tokenizer.json").encode_ordinary("some text");
  });
  CHECK(outcomes.refused > 100);
}

TEST_CASE("a damaged tiktoken file is read or refused") {
  const Outcomes outcomes = outcomes_of(tiktoken_ranks(), 1500, [](const std::string& bytes) {
    Tokenizer::from_tiktoken(bytes, "tokenizer.model", {.pattern = kLlama3Pattern, .specials = {"<s>"}})
        .encode_ordinary("some text");
  });
  CHECK(outcomes.refused > 100);
}

TEST_CASE("damaged JSON inputs are read, passed over or refused") {
  CHECK(outcomes_of_document("a.jsonl", kJsonLines, 1500, DocumentForm::jsonl).read > 100);
  CHECK(outcomes_of_document("a.json", cat('[', R"({"text": "a"}, "b", {"text": {"c": [1]}})", ']'), 1500,
                             DocumentForm::json)
            .read > 100);
}

TEST_CASE("damaged compressed inputs are read or refused") {
  for (const auto& [name, whole] : {std::pair{"a.gz", gzip_member("some text") + gzip_member("more")},
                                    std::pair{"a.zst", zstd_frame("some text") + zstd_frame("more")}}) {
    CHECK(outcomes_of_document(name, whole, 1500, DocumentForm::text).refused > 100);
  }
}

TEST_CASE("a damaged Megatron index is read or refused, and so is one whose tokens are cut off") {
  const TemporaryFolder folder;
  const MegatronFiles files = megatron_files({{1, 2, 3}, {}, {4}, {5, 6, 7, 8}});
  write_bytes(folder.path() / "m.bin", files.bin);
  const auto read = [&](const std::string& bytes) {
    read_all(write_bytes(folder.path() / "m.idx", bytes), DocumentForm::megatron);
  };
  CHECK(outcomes_of(files.idx, 1500, read).refused > 100);
  write_bytes(folder.path() / "m.idx", files.idx);
  const auto read_tokens = [&](const std::string& bytes) {
    write_bytes(folder.path() / "m.bin", bytes);
    read_all((folder.path() / "m.idx").string(), DocumentForm::megatron);
  };
  CHECK(outcomes_of(files.bin, 300, read_tokens).refused > 10);
}

TEST_CASE("a damaged token store is read or refused, whether it is verified or not") {
  RecordingFileSystem files;
  build_store(files, "store.h5",
              {.ids = {256, 65, 257, 256, 66, 67, 257, 256, 68, 257},
               .offsets = {0, 3, 7, 10},
               .text_bytes = {1, 2, 1}});
  const std::vector<std::byte> stored = files.bytes("store.h5");
  const std::string whole(reinterpret_cast<const char*>(stored.data()), stored.size());
  const bool verified = GENERATE(false, true);
  const Outcomes outcomes = outcomes_of(whole, 1000, [&](const std::string& bytes) {
    const auto view = std::as_bytes(std::span(bytes));
    files.bytes("store.h5").assign(view.begin(), view.end());
    const TokenStore store(files, "store.h5");
    if (verified) store.verify();
    for (std::int64_t d = 0; d < store.document_count(); ++d) {
      store.offset(d + 1);
      store.text_bytes_of(d);
    }
    std::vector<std::int32_t> ids(
        static_cast<std::size_t>(std::min<std::int64_t>(store.total_tokens(), 100)));
    store.read(0, ids);
    for (const std::int32_t id : ids) REQUIRE((id >= 0 && id < store.vocab_size()));
  });
  CHECK(outcomes.refused > 100);
}

}  // namespace drover
