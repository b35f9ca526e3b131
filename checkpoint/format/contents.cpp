#include "checkpoint/format/contents.h"

#include "checkpoint/format/names.h"
#include "parallel/comm/agreement.h"

namespace drover {
namespace {

struct Texts {
  std::string manifest, table;
};

// A file whose digest is known, of `bytes` bytes.
std::string checked_text(FileSystem& files, const std::filesystem::path& path, std::int64_t bytes,
                         const Digest& digest) {
  std::string text = read_text(files, path, bytes, OpenMode::read_no_follow);
  if (digest_of(text) != digest)
    throw input_error(path.string(), " is not what was written; restore it, or use another checkpoint");
  return text;
}

// What one table would say of the files of format 1.
std::string table_of_format_1(FileSystem& files, const std::filesystem::path& directory,
                              const Manifest& manifest) {
  std::string table;
  for (const OldFile& old : manifest.old_files) {
    const auto path = directory / old_table_name(old.rank);
    const RankTable rank =
        parse_old_table(checked_text(files, path, old.table_bytes, old.table_digest), old.bytes, path);
    for (const StoredTensor& tensor : rank.tensors)
      if (!index_of(manifest.tensors, tensor))
        throw input_error(path.string(), ": ", describe(tensor), " is not in the manifest");
    table += file_text(file_of(old.rank, rank, manifest.tensors), manifest.tensors);
  }
  return table;
}

Texts read_texts(FileSystem& files, const std::filesystem::path& directory) {
  const auto path = directory / kManifestName;
  Texts texts{.manifest = read_text(files, path, kMaxManifestBytes, OpenMode::read_no_follow)};
  const Manifest manifest = parse_manifest(texts.manifest, path);
  texts.table = manifest.format == 1 ? table_of_format_1(files, directory, manifest)
                                     : checked_text(files, directory / kTableName, manifest.table_bytes,
                                                    manifest.table_digest);
  return texts;
}

Contents parsed(const std::filesystem::path& directory, Texts texts) {
  return {.directory = directory,
          .manifest = parse_manifest(texts.manifest, directory / kManifestName),
          .table = std::move(texts.table)};
}

}  // namespace

void Contents::for_each_file(FunctionRef<void(int, const StoredFile&)> use) const {
  int number = 0;
  drover::for_each_file(table, manifest.tensors, directory / kTableName,
                        [&](const StoredFile& file) { use(number++, file); });
}

Manifest read_manifest(FileSystem& files, const std::filesystem::path& directory) {
  const auto path = directory / kManifestName;
  return parse_manifest(read_text(files, path, kMaxManifestBytes, OpenMode::read_no_follow), path);
}

Contents read_contents(FileSystem& files, const std::filesystem::path& directory) {
  return parsed(directory, read_texts(files, directory));
}

Contents read_contents(const ReadTogether& from) {
  Texts texts;
  agree(from.exec, from.world, [&] {
    if (from.world.rank() == 0) texts = read_texts(from.files, from.directory);
  });
  broadcast_text(from.exec, from.world, texts.manifest, 0);
  broadcast_text(from.exec, from.world, texts.table, 0);
  Contents contents;
  agree(from.exec, from.world, [&] { contents = parsed(from.directory, std::move(texts)); });
  return contents;
}

}  // namespace drover
