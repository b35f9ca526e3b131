#include "checkpoint/write/directory.h"

#include <algorithm>
#include <cerrno>

#include "checkpoint/format/contents.h"
#include "checkpoint/format/names.h"
#include "checkpoint/write/attempts.h"

namespace drover {
namespace {

Error closed(const CommitPlace& place) { return closed_attempt(place.checkpoints, place.attempt); }

void remove_entry(FileSystem& files, const std::filesystem::path& path) {
  if (files.kind(path) == FileKind::directory) {
    remove_flat_directory(files, path);
  } else {
    files.remove_file(path);
  }
}

// A folder inside was put there by somebody, an export perhaps: then nothing of the checkpoint is touched.
void refuse_folders(FileSystem& files, const std::filesystem::path& path) {
  if (files.kind(path) != FileKind::directory) return;
  for (const std::string& name : files.list(path))
    if (files.kind(path / name) == FileKind::directory) throw FileError("remove", path / name, EISDIR);
}

// Out of the readers' sight first, so that a crash half-way leaves no checkpoint that lacks files.
void discard(FileSystem& files, const std::filesystem::path& checkpoint, std::int64_t step) {
  refuse_folders(files, checkpoint);
  const auto folder = folder_of(checkpoint), partial = folder / partial_name(step);
  if (files.exists(partial)) remove_entry(files, partial);
  files.rename(checkpoint, partial);
  files.sync_directory(folder);
  remove_entry(files, partial);
}

template <class Remove>
void remove_or_warn(const Warn& warn, const std::string& name, Remove remove) {
  try {
    remove();
  } catch (const FileError& error) {
    warn(cat(name, " stays: ", error.what()));
  }
}

bool has_intact_manifest(FileSystem& files, const std::filesystem::path& directory) {
  try {
    read_manifest(files, directory);
    return true;
  } catch (const Error&) {
    return false;
  }
}

void remove_leftovers(FileSystem& files, const CommitPlace& place, const std::string& folder,
                      const Warn& warn) {
  const auto path = folder.empty() ? place.checkpoints : place.checkpoints / folder;
  for (const std::string& name : files.list(path)) {
    if (!step_of_partial(name)) continue;
    const auto remove = [&] { remove_entry(files, path / name); };
    if (path / name == place.partial()) {
      remove();
    } else {
      remove_or_warn(warn, (std::filesystem::path(folder) / name).string(), remove);
    }
  }
}

// A closed attempt of which nothing is left.
void remove_if_empty(FileSystem& files, const std::filesystem::path& checkpoints, const std::string& folder,
                     const Warn& warn) {
  const auto attempt = attempt_of(folder);
  if (!attempt || attempt->entry != AttemptEntry::closed || !files.list(checkpoints / folder).empty()) return;
  remove_or_warn(warn, folder, [&] { files.remove_directory(checkpoints / folder); });
}

bool is_own(const AcceptedCheckpoint& checkpoint, const CommitPlace& place) {
  return checkpoint.attempt == place.attempt && checkpoint.step == place.step;
}

// Renamed in time, or into a folder that was closed meanwhile: only the records tell.
void require_accepted(FileSystem& files, const CommitPlace& place) {
  const auto accepted = accepted_checkpoints(files, place.checkpoints);
  if (std::none_of(accepted.begin(), accepted.end(), [&](const auto& one) { return is_own(one, place); }))
    throw closed(place);
}

}  // namespace

std::filesystem::path CommitPlace::folder() const { return checkpoints / attempt_name(attempt); }
std::filesystem::path CommitPlace::partial() const { return folder() / partial_name(step); }
std::filesystem::path CommitPlace::committed() const { return folder() / step_name(step); }

void begin_checkpoint(FileSystem& files, const CommitPlace& place, const Warn& warn) {
  if (!files.exists(place.folder())) throw closed(place);
  for (const std::string& folder : folders_up_to(files, place.checkpoints, place.attempt))
    remove_leftovers(files, place, folder, warn);
  files.make_directory(place.partial());
}

void abandon_checkpoint(FileSystem& files, const CommitPlace& place) noexcept {
  try {
    remove_flat_directory(files, place.partial());
  } catch (const std::exception&) {  // the next save removes it
  }
}

void commit_checkpoint(FileSystem& files, const CommitPlace& place, std::string_view manifest) {
  if (!files.exists(place.partial())) throw closed(place);
  write_new_text(files, place.partial() / kManifestName, manifest);
  files.sync_directory(place.partial());
  files.rename(place.partial(), place.committed());
  files.sync_directory(place.folder());
  require_accepted(files, place);
  write_latest(files, place.checkpoints, cat(attempt_name(place.attempt), "/", step_name(place.step)));
}

void purge_checkpoints(FileSystem& files, const CommitPlace& place, int keep, const Warn& warn) {
  if (!files.exists(place.folder())) return;  // the attempt that has closed this one purges from now on
  int kept = 0;
  for (const AcceptedCheckpoint& checkpoint : accepted_checkpoints(files, place.checkpoints)) {
    if (checkpoint.step > place.step) continue;
    const bool superseded = checkpoint.step == place.step && !is_own(checkpoint, place);
    const auto path = place.checkpoints / checkpoint.path;
    if (superseded || (keep > 0 && kept == keep)) {
      remove_or_warn(warn, checkpoint.path, [&] { discard(files, path, checkpoint.step); });
    } else if (keep > 0 && has_intact_manifest(files, path)) {
      ++kept;
    }
  }
  for (const std::string& folder : folders_up_to(files, place.checkpoints, place.attempt))
    remove_if_empty(files, place.checkpoints, folder, warn);
}

}  // namespace drover
