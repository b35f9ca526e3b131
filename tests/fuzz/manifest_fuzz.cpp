// What a checkpoint says about itself, before a NUL the manifest and behind it the table of every file that it names:
// read as it is, then sealed, as one who forges a checkpoint would.
#include "checkpoint/format/manifest.h"
#include "checkpoint/read/inspect.h"
#include "tests/fuzz/answer.h"
#include "tests/support/recording_filesystem.h"

namespace drover {
namespace {

constexpr const char* kFolder = "step_0000000001";
constexpr std::size_t kMostFiles = 8;

// With the digest of what stands before its own, which is then the last member.
std::string sealed(std::string_view manifest) {
  constexpr std::string_view kTail = "\"\n}\n";
  constexpr std::size_t kSealBytes = 32 + kTail.size();
  const std::string body(manifest.substr(0, manifest.size() - std::min(manifest.size(), kSealBytes)));
  return body + hex(digest_of(body)) + std::string(kTail);
}

void write(FileSystem& files, const std::string& name, std::string_view text) {
  files.open(std::filesystem::path(kFolder) / name, OpenMode::create)->write(bytes_of(text), 0);
}

// As inspect reads it: with the one table for every file, and its digest right.
void inspect_with(Manifest manifest, std::string_view table) {
  RecordingFileSystem files;
  files.make_directory(kFolder);
  if (manifest.files.size() > kMostFiles) manifest.files.resize(kMostFiles);
  for (StoredFile& file : manifest.files) {
    file.table_bytes = static_cast<std::int64_t>(table.size());
    file.table_digest = digest_of(table);
    if (!files.exists(std::filesystem::path(kFolder) / file.table)) write(files, file.table, table);
  }
  if (!files.exists(std::filesystem::path(kFolder) / kManifestName))
    write(files, std::string(kManifestName), manifest_text(manifest));
  answers(Exit::input, kFolder, [&] { inspect_checkpoint(files, kFolder); });
  verify_checkpoint(files, kFolder);
}

}  // namespace
}  // namespace drover

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace drover;
  constexpr const char* kName = "manifest.json";
  const std::string_view input = text_of(data, size);
  const std::size_t end = std::min(input.find('\0'), size);
  const std::string_view text = input.substr(0, end), table = input.substr(std::min(end + 1, size));
  answers(Exit::input, kName, [&] { parse_manifest(text, kName); });
  answers(Exit::input, kName, [&] {
    RankTable read = parse_table(table, kName);
    if (table_text(parse_table(table_text(read), kName)) != table_text(read))
      report_defect("a table changes when it is written");
  });
  Manifest manifest;
  if (!answers(Exit::input, kName, [&] { manifest = parse_manifest(sealed(text), kName); })) return 0;
  if (manifest_text(parse_manifest(manifest_text(manifest), kName)) != manifest_text(manifest))
    report_defect("a manifest changes when it is written");
  inspect_with(std::move(manifest), table);
  return 0;
}
