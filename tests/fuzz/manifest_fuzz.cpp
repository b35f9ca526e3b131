// What a checkpoint says about itself, before a NUL the manifest and behind it the table (of format 1: of every file that
// the manifest names): read as it is, then sealed, as one who forges a checkpoint would.
#include "checkpoint/format/contents.h"
#include "checkpoint/format/names.h"
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

// As inspect reads it: with the digest of the table right. Of format 1, with the one table for every file.
void inspect_with(std::string manifest, bool is_old, std::string_view table) {
  RecordingFileSystem files;
  files.make_directory(kFolder);
  Manifest read = parse_manifest(manifest, kFolder);
  if (is_old) {
    if (read.old_files.size() > kMostFiles) return;
    for (const OldFile& file : read.old_files) write(files, old_table_name(file.rank), table);
  } else {
    read.table_bytes = std::ssize(table);
    read.table_digest = digest_of(table);
    manifest = manifest_text(read);
    write(files, std::string(kTableName), table);
  }
  write(files, std::string(kManifestName), manifest);
  answers(Exit::input, kFolder, [&] { inspect_checkpoint(files, kFolder); });
  verify_checkpoint(files, kFolder);
}

// A table that is read and written is the same table.
void check_table(std::string_view table, const std::vector<StoredTensor>& tensors) {
  std::string once, twice;
  for_each_file(table, tensors, kFolder, [&](const StoredFile& file) { once += file_text(file, tensors); });
  for_each_file(once, tensors, kFolder, [&](const StoredFile& file) { twice += file_text(file, tensors); });
  if (once != twice) report_defect("a table changes when it is written");
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
  answers(Exit::input, kName, [&] { parse_old_table(table, 96, kName); });
  Manifest manifest;
  const std::string whole = sealed(text);
  if (!answers(Exit::input, kName, [&] { manifest = parse_manifest(whole, kName); })) return 0;
  answers(Exit::input, kFolder, [&] { check_table(table, manifest.tensors); });
  if (manifest_text(parse_manifest(manifest_text(manifest), kName)) != manifest_text(manifest))
    report_defect("a manifest changes when it is written");
  inspect_with(whole, manifest.format == 1, table);
  return 0;
}
