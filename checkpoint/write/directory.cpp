#include "checkpoint/write/directory.h"

#include <algorithm>
#include <charconv>
#include <iomanip>
#include <optional>
#include <tuple>

#include "checkpoint/format/manifest.h"
#include "checkpoint/write/new_folder.h"

namespace drover {
namespace {

constexpr std::string_view kStep = "step_", kPartial = ".partial", kReplaced = ".replaced";
constexpr std::string_view kLatest = "LATEST";

std::string padded(std::int64_t number, int digits) {
  std::ostringstream out;
  out << std::setfill('0') << std::setw(digits) << number;
  return std::move(out).str();
}

std::optional<std::int64_t> step_of(std::string_view name) {
  std::int64_t step = 0;
  if (!name.starts_with(kStep)) return std::nullopt;
  const auto [end, error] = std::from_chars(name.data() + kStep.size(), name.data() + name.size(), step);
  if (error != std::errc() || step < 0 || step_name(step) != name) return std::nullopt;
  return step;
}

std::optional<CommittedName> committed_name(const std::string& name) {
  const bool replaced = name.ends_with(kReplaced);
  const auto step =
      step_of(std::string_view(name).substr(0, name.size() - (replaced ? kReplaced.size() : 0)));
  if (!step) return std::nullopt;
  return CommittedName{.step = *step, .replaced = replaced, .name = name};
}

CommittedName replaced_name(std::int64_t step) {
  return {.step = step, .replaced = true, .name = step_name(step) + std::string(kReplaced)};
}

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
void discard(FileSystem& files, const std::filesystem::path& folder, const CommittedName& checkpoint) {
  refuse_folders(files, folder / checkpoint.name);
  const auto partial = folder / partial_name(checkpoint.step);
  if (files.exists(partial)) remove_entry(files, partial);
  files.rename(folder / checkpoint.name, partial);
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
  const auto path = directory / kManifestName;
  try {
    parse_manifest(read_text(files, path, kMaxManifestBytes, OpenMode::read_no_follow), path);
    return true;
  } catch (const Error&) {
    return false;
  }
}

}  // namespace

std::string step_name(std::int64_t step) { return std::string(kStep) + padded(step, 10); }
std::string partial_name(std::int64_t step) { return step_name(step) + std::string(kPartial); }
std::string shard_name(std::int64_t rank) { return cat("rank_", padded(rank, 5), ".h5"); }
std::string table_name(std::int64_t rank) { return cat("rank_", padded(rank, 5), ".json"); }

std::vector<CommittedName> committed_names(FileSystem& files, const std::filesystem::path& folder) {
  std::vector<CommittedName> found;
  if (!files.exists(folder)) return found;
  for (const std::string& name : files.list(folder)) {
    if (auto checkpoint = committed_name(name)) found.push_back(std::move(*checkpoint));
  }
  std::sort(found.begin(), found.end(), [](const CommittedName& a, const CommittedName& b) {
    return std::tie(b.step, a.replaced) < std::tie(a.step, b.replaced);
  });
  return found;
}

void begin_checkpoint(FileSystem& files, const std::filesystem::path& folder, std::int64_t step,
                      const Warn& warn) {
  if (!files.exists(folder)) {
    files.make_directory(folder);
    files.sync_directory(folder_of(folder));
  }
  for (const std::string& name : files.list(folder)) {
    const std::string_view stem = std::string_view(name).substr(0, name.rfind(kPartial));
    if (!name.ends_with(kPartial) || !step_of(stem)) continue;
    const auto remove = [&] { remove_entry(files, folder / name); };
    name == partial_name(step) ? remove() : remove_or_warn(warn, name, remove);
  }
  // Both names are taken after a crash between the renames and the removal of a step saved again.
  const CommittedName replaced = replaced_name(step);
  if (files.exists(folder / step_name(step)) && files.exists(folder / replaced.name))
    discard(files, folder, replaced);
  files.make_directory(folder / partial_name(step));
}

void abandon_checkpoint(FileSystem& files, const std::filesystem::path& partial) noexcept {
  try {
    remove_flat_directory(files, partial);
  } catch (const std::exception&) {  // the next save removes it
  }
}

void commit_checkpoint(FileSystem& files, const std::filesystem::path& folder, std::int64_t step,
                       std::string_view manifest) {
  const std::string name = step_name(step);
  const auto partial = folder / partial_name(step);
  write_new_text(files, partial / kManifestName, manifest);
  files.sync_directory(partial);
  const CommittedName aside = replaced_name(step);
  if (files.exists(folder / name)) files.rename(folder / name, folder / aside.name);
  files.rename(partial, folder / name);
  files.sync_directory(folder);
  write_text_atomically(files, folder / kLatest, name + "\n");
}

void purge_checkpoints(FileSystem& files, const std::filesystem::path& folder, std::int64_t newest, int keep,
                       const Warn& warn) {
  int kept = 0;
  for (const CommittedName& checkpoint : committed_names(files, folder)) {
    if (checkpoint.step > newest) continue;
    const bool was_replaced = checkpoint.step == newest && checkpoint.replaced;
    if (was_replaced || (keep > 0 && kept == keep)) {
      remove_or_warn(warn, checkpoint.name, [&] { discard(files, folder, checkpoint); });
    } else if (keep > 0 && has_intact_manifest(files, folder / checkpoint.name)) {
      ++kept;
    }
  }
}

}  // namespace drover
