#include "checkpoint/read/named.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "checkpoint/checkpoint.h"
#include "checkpoint/format/names.h"
#include "checkpoint/write/attempts.h"
#include "parallel/comm/agreement.h"

namespace drover {
namespace {

// Either one checkpoint or a folder of several.
struct Meaning {
  std::filesystem::path path;
  bool is_folder = false;
};

// The folder with checkpoints: itself, or the checkpoints/ in a run directory.
std::optional<std::filesystem::path> folder_with(FileSystem& files, const std::filesystem::path& named) {
  if (files.kind(named) == FileKind::regular) return std::nullopt;
  for (const auto& folder : {named, named / "checkpoints"}) {
    if (!accepted_checkpoints(files, folder).empty()) return folder;
  }
  return std::nullopt;
}

// "step_0000000500", "step_500" and "500".
std::optional<std::int64_t> step_in(std::string_view text) {
  constexpr std::string_view kStep = "step_";
  if (text.starts_with(kStep)) text.remove_prefix(kStep.size());
  std::int64_t step = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), step);
  if (error != std::errc() || end != text.data() + text.size() || step < 0) return std::nullopt;
  return step;
}

// RUN:step_N. None if that is not what the name looks like.
std::optional<std::filesystem::path> of_step(FileSystem& files, const std::string& named) {
  const std::size_t colon = named.rfind(':');
  if (colon == std::string::npos) return std::nullopt;
  const auto step = step_in(std::string_view(named).substr(colon + 1));
  const auto folder = folder_with(files, named.substr(0, colon));
  if (!step || !folder) return std::nullopt;
  std::string others;
  for (const AcceptedCheckpoint& checkpoint : accepted_checkpoints(files, *folder)) {
    if (checkpoint.step == *step) return *folder / checkpoint.path;
    others += cat(others.empty() ? "" : ", ", checkpoint.step);
  }
  throw input_error(folder->string(), " has no checkpoint of step ", *step, "; it has ", others);
}

// A checkpoint of an attempt that was closed since somebody wrote its name down.
std::optional<std::filesystem::path> where_closed(FileSystem& files, const std::filesystem::path& named) {
  const auto attempt = attempt_of(folder_of(named).filename().string());
  if (files.exists(named) || !attempt || attempt->entry != AttemptEntry::open) return std::nullopt;
  const auto moved = folder_of(folder_of(named)) / closed_name(attempt->attempt) / named.filename();
  if (!files.exists(moved / kManifestName)) return std::nullopt;
  return moved;
}

Meaning meaning_of(FileSystem& files, const std::string& named) {
  std::filesystem::path path = named;
  if (!path.has_filename()) path = path.parent_path();  // "runs/name/"
  if (files.exists(path / kManifestName)) return {.path = path};
  if (const auto step = of_step(files, named)) return {.path = *step};
  if (const auto moved = where_closed(files, path)) return {.path = *moved};
  if (const auto folder = folder_with(files, path)) return {.path = *folder, .is_folder = true};
  throw input_error(
      named, files.exists(path) ? "" : ": No such file or directory;",
      " holds no checkpoint: name a step's folder with a manifest.json, a folder of those, a run "
      "directory, or RUN:step_N");
}

// As rank 0 sees it.
Meaning agreed_meaning(const ReadTogether& from, const std::string& named) {
  std::string path;
  std::string is_folder;
  agree(from.exec, from.world, [&] {
    if (from.world.rank() != 0) return;
    const Meaning meaning = meaning_of(from.files, named);
    path = meaning.path.string();
    is_folder = meaning.is_folder ? "yes" : "";
  });
  broadcast_text(from.exec, from.world, path, 0);
  broadcast_text(from.exec, from.world, is_folder, 0);
  return {.path = path, .is_folder = !is_folder.empty()};
}

}  // namespace

std::filesystem::path find_named(const ReadTogether& from, const std::string& named,
                                 const std::function<void(const std::string&)>& warn) {
  const Meaning meaning = agreed_meaning(from, named);
  if (!meaning.is_folder) return meaning.path;
  const auto newest = find_checkpoint(from.files, from.exec, from.world, meaning.path, warn);
  if (!newest) throw input_error(meaning.path.string(), " holds no checkpoint any more");
  return *newest;
}

void use_checkpoint(const ReadTogether& from, const std::string& named,
                    const std::function<void(const std::string&)>& warn,
                    FunctionRef<void(const std::filesystem::path&)> use) {
  std::filesystem::path found = find_named(from, named, warn);
  try {
    return use(found);
  } catch (const CommError&) {
    throw;
  } catch (const Error& error) {
    if (error.exit() != Exit::input) throw;
    const std::filesystem::path now = find_named(from, named, warn);
    if (now == found) throw;
    warn(cat(named, " is now ", now.string(), ": ", error.what()));
    found = now;
  }
  use(found);
}

std::vector<std::filesystem::path> all_named(FileSystem& files, const std::string& named) {
  const Meaning meaning = meaning_of(files, named);
  if (!meaning.is_folder) return {meaning.path};
  std::vector<std::filesystem::path> all;
  for (const AcceptedCheckpoint& checkpoint : accepted_checkpoints(files, meaning.path))
    all.push_back(meaning.path / checkpoint.path);
  return all;
}

}  // namespace drover
