#include "checkpoint/read/contents.h"

#include "parallel/comm/agreement.h"

namespace drover {
namespace {

std::string manifest_of(FileSystem& files, const std::filesystem::path& directory) {
  return read_text(files, directory / kManifestName, kMaxManifestBytes, OpenMode::read_no_follow);
}

std::string table_of(FileSystem& files, const std::filesystem::path& directory, const StoredFile& file) {
  const auto path = directory / file.table;
  std::string text = read_text(files, path, file.table_bytes, OpenMode::read_no_follow);
  if (digest_of(text) != file.table_digest)
    throw input_error(path.string(), " is not what was written; restore it, or use another checkpoint");
  return text;
}

RankTable parsed_table(std::string_view text, const std::filesystem::path& directory,
                       const StoredFile& file) {
  RankTable table = parse_table(text, directory / file.table);
  if (table.bytes != file.bytes)
    throw input_error((directory / file.table).string(), ": is of a file of ", table.bytes,
                      " bytes, the manifest says ", file.bytes);
  return table;
}

}  // namespace

Manifest read_manifest(FileSystem& files, const std::filesystem::path& directory) {
  return parse_manifest(manifest_of(files, directory), directory / kManifestName);
}

RankTable read_table(FileSystem& files, const std::filesystem::path& directory, const StoredFile& file) {
  return parsed_table(table_of(files, directory, file), directory, file);
}

Manifest read_manifest(const ReadTogether& from) {
  std::string text;
  Manifest manifest;
  agree(from.exec, from.world, [&] {
    if (from.world.rank() == 0) text = manifest_of(from.files, from.directory);
  });
  broadcast_text(from.exec, from.world, text, 0);
  agree(from.exec, from.world, [&] { manifest = parse_manifest(text, from.directory / kManifestName); });
  return manifest;
}

void for_each_table(const ReadTogether& from, const Manifest& manifest,
                    FunctionRef<void(int, const RankTable&)> use) {
  for (std::size_t i = 0; i < manifest.files.size(); ++i) {
    const StoredFile& file = manifest.files[i];
    const int reader = static_cast<int>(i % static_cast<std::size_t>(from.world.size()));
    std::string text;
    agree(from.exec, from.world, [&] {
      if (from.world.rank() == reader) text = table_of(from.files, from.directory, file);
    });
    broadcast_text(from.exec, from.world, text, reader);
    agree(from.exec, from.world, [&] { use(static_cast<int>(i), parsed_table(text, from.directory, file)); });
  }
}

}  // namespace drover
