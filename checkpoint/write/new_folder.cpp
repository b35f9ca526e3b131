#include "checkpoint/write/new_folder.h"

namespace drover {
namespace {

void make_parents(FileSystem& files, const std::filesystem::path& path) {
  const auto parent = folder_of(path);
  if (files.exists(parent) || parent == path) return;
  make_parents(files, parent);
  files.make_directory(parent);
  files.sync_directory(folder_of(parent));
}

// Symbolic links themselves, never what they point to.
void remove_tree(FileSystem& files, const std::filesystem::path& path) {
  if (files.kind(path) != FileKind::directory) return files.remove_file(path);
  for (const std::string& name : files.list(path)) remove_tree(files, path / name);
  files.remove_directory(path);
}

}  // namespace

NewFolder::NewFolder(FileSystem& files, const std::filesystem::path& path)
    : files_(files),
      path_(path.has_filename() ? path : path.parent_path()),
      partial_(path_.string() + ".partial") {
  if (files.exists(path_))
    throw usage_error(path_.string(), " is there already; choose another name, or remove it");
  if (files.exists(partial_))
    throw usage_error(partial_.string(),
                      " is there: another process is writing it, or one was killed that did; "
                      "remove it, or choose another name");
  make_parents(files, partial_);
  files.make_directory(partial_);
}

NewFolder::~NewFolder() {
  if (published_) return;
  try {
    remove_tree(files_, partial_);
  } catch (const std::exception&) {  // another error is on its way, and the next attempt names what is left
  }
}

void NewFolder::require_space(std::int64_t bytes) const {
  const std::optional<std::int64_t> available = available_bytes(partial_);
  if (!available || *available >= bytes) return;
  throw input_error(path_.string(), " will have ", bytes, " bytes, and its disk has ", *available,
                    " left; free space there, or choose another disk");
}

void NewFolder::publish() {
  files_.sync_directory(partial_);
  files_.rename(partial_, path_);
  published_ = true;
  files_.sync_directory(folder_of(path_));
}

}  // namespace drover
