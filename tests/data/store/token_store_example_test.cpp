// docs/token_store_example.md against the code: its tables are read, never copied.
#include <fstream>

#include "core/tensor/memory.h"
#include "data/batch/batch_buffer.h"
#include "data/order/feed.h"
#include "data/prepare/prepare.h"
#include "data/store/token_store.h"
#include "tests/support/byte_tokenizer.h"
#include "tests/support/markdown_tables.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/test_support.h"

namespace drover {
namespace {

constexpr std::int64_t kRowLength = 10;  // T of the page
constexpr std::uint64_t kSeed = 1;       // run.seed of the page

struct Example {
  Table documents, tokens, segments;
};

Example read_example() {
  const std::vector<Table> tables = tables_of(page_of_docs("token_store_example.md"));
  REQUIRE(tables.size() == 3);
  return {tables[0], tables[1], tables[2]};
}

// A cell that is code: `text`.
std::string code(const std::string& cell) { return cell.substr(1, cell.size() - 2); }

TokenStore prepare_example(FileSystem& files, const Table& documents, const std::filesystem::path& folder) {
  std::ofstream lines(folder / "example.jsonl");
  for (const TableRow& row : documents) lines << "{\"text\": \"" << code(row[1]) << "\"}\n";
  lines.close();
  PrepareOptions options;
  options.out = folder / "example.h5";
  options.documents.inputs = {(folder / "example.jsonl").string()};
  prepare(files, byte_tokenizer(), options);
  return TokenStore(files, options.out);
}

std::string ids_text(const TokenStore& store, std::int64_t document) {
  const std::int64_t begin = store.offset(document);
  std::vector<std::int32_t> ids(static_cast<std::size_t>(store.offset(document + 1) - begin));
  store.read(begin, ids);
  std::string text;
  for (const std::int32_t id : ids) text += cat(text.empty() ? "" : " ", id);
  return text;
}

// The two rows of the first epoch as one microbatch.
Microbatch two_rows(const TokenStore& store, Feed& feed, BatchBuffer& buffer) {
  buffer.clear();
  for (std::int64_t row = 0; row < 2; ++row) {
    std::vector<Piece> pieces;
    feed.append_pieces(row * kRowLength, kRowLength, pieces);
    buffer.append_row(store, pieces, kRowLength);
  }
  return buffer.finish_microbatch();
}

std::string target_text(std::int32_t target) { return target == kNoTarget ? "none" : std::to_string(target); }

}  // namespace

TEST_CASE("the 20-token example of docs/token_store_example.md is what the code does") {
  const Example example = read_example();
  const TemporaryFolder folder;
  PosixFileSystem files;
  const TokenStore store = prepare_example(files, example.documents, folder.path());
  REQUIRE(store.total_tokens() == 20);
  REQUIRE(example.documents.size() == 3);
  for (std::size_t d = 0; d < 3; ++d) {
    CHECK(example.documents[d][0] == std::to_string(d));
    CHECK(example.documents[d][2] == ids_text(store, static_cast<std::int64_t>(d)));
  }

  HostMemory memory;
  Feed feed(store, {.seed = kSeed});
  BatchBuffer buffer(memory, kRowLength, 2 * kRowLength);
  const Microbatch batch = two_rows(store, feed, buffer);
  REQUIRE(example.tokens.size() == 20);
  std::vector<std::istringstream> documents;
  for (const TableRow& row : example.documents) documents.emplace_back(row[2]);
  for (std::size_t i = 0; i < 20; ++i) {
    const TableRow& row = example.tokens[i];
    INFO("token " << i);
    CHECK(row[0] == std::to_string(i));
    std::string next_of_document;
    documents.at(std::stoul(row[1])) >> next_of_document;
    CHECK(row[2] == next_of_document);
    CHECK(row[2] == std::to_string(batch.tokens.as<std::int32_t>()[i]));
    CHECK(row[3] == target_text(batch.targets.as<std::int32_t>()[i]));
    CHECK(row[4] == std::to_string(batch.positions.as<std::int32_t>()[i]));
  }
  REQUIRE(example.segments.size() == batch.segments.size());
  for (std::size_t s = 0; s < batch.segments.size(); ++s) {
    const Segment& segment = batch.segments[s];
    INFO("segment " << s);
    CHECK(example.segments[s][0] == std::to_string(s));
    CHECK(example.segments[s][1] == cat("[", segment.q_begin, ", ", segment.q_end, ")"));
    CHECK(example.segments[s][2] == cat("[", segment.kv_begin, ", ", segment.kv_end, ")"));
    CHECK(example.segments[s][3] == std::to_string(segment.pairs()));
    for (std::int32_t i = segment.q_begin; i < segment.q_end; ++i) {
      CHECK(example.tokens[static_cast<std::size_t>(i)][5] == std::to_string(s));
    }
  }
  CHECK(batch.valid_targets == 17);
}

}  // namespace drover
