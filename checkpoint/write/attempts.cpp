#include "checkpoint/write/attempts.h"

#include <algorithm>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <tuple>

#include "checkpoint/format/names.h"
#include "core/base/json_text.h"

namespace drover {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::int64_t kMaxRecordBytes = std::int64_t{64} << 20;

// What an attempt accepted of those before it: pairs of attempt and step.
struct Record {
  std::int64_t attempt = kNoAttempt;
  std::set<std::pair<std::int64_t, std::int64_t>> accepts;
};

std::vector<AttemptName> attempt_names(FileSystem& files, const std::filesystem::path& checkpoints,
                                       AttemptEntry entry) {
  std::vector<AttemptName> found;
  for (const std::string& name : files.list(checkpoints)) {
    const auto attempt = attempt_of(name);
    if (attempt && attempt->entry == entry) found.push_back(*attempt);
  }
  return found;
}

Error damaged(const std::filesystem::path& path) {
  return input_error(path.string(),
                     " says which checkpoints of earlier attempts count, and is damaged; restore it from a "
                     "copy, or move the run's good checkpoints into the checkpoints/ of a new run directory");
}

std::int64_t member(const Json& object, const char* key, const std::filesystem::path& path) {
  const auto found = object.is_object() ? object.find(key) : object.end();
  if (!object.is_object() || found == object.end() || !found->is_number_integer()) throw damaged(path);
  return found->get<std::int64_t>();
}

Record parse_record(const std::string& text, std::int64_t attempt, const std::filesystem::path& path) {
  const Json json =
      json_is_deeper_than(text) ? Json(Json::value_t::discarded) : Json::parse(text, nullptr, false);
  if (!json.is_object() || !json.contains("accepts") || !json["accepts"].is_array()) throw damaged(path);
  Record record{.attempt = attempt, .accepts = {}};
  for (const Json& one : json["accepts"])
    record.accepts.emplace(member(one, "attempt", path), member(one, "step", path));
  return record;
}

std::string record_text(const std::vector<AcceptedCheckpoint>& accepted) {
  Json accepts = Json::array();
  for (const AcceptedCheckpoint& one : accepted) {
    if (one.attempt != kNoAttempt) accepts.push_back({{"attempt", one.attempt}, {"step", one.step}});
  }
  return Json{{"accepts", accepts}}.dump() + "\n";
}

// None while every attempt was only claimed.
std::optional<Record> newest_record(FileSystem& files, const std::filesystem::path& checkpoints) {
  std::vector<AttemptName> records = attempt_names(files, checkpoints, AttemptEntry::record);
  std::sort(records.begin(), records.end(),
            [](const AttemptName& a, const AttemptName& b) { return a.attempt > b.attempt; });
  for (const AttemptName& name : records) {
    const auto path = checkpoints / record_name(name.attempt);
    const std::string text = read_text(files, path, kMaxRecordBytes, OpenMode::read_no_follow);
    if (!text.empty()) return parse_record(text, name.attempt, path);
  }
  return std::nullopt;
}

// An earlier attempt's folder gets the name that its late ranks do not know.
void close_attempt(FileSystem& files, const std::filesystem::path& checkpoints, std::int64_t attempt) {
  const auto open = checkpoints / attempt_name(attempt);
  try {
    if (files.list(open).empty()) return files.remove_directory(open);
    files.rename(open, checkpoints / closed_name(attempt));
  } catch (const FileError& error) {
    if (error.code() != ENOENT) throw;  // another attempt has just closed it
  }
}

bool counts(const std::optional<Record>& record, std::int64_t attempt, std::int64_t step) {
  return !record || attempt == record->attempt || record->accepts.contains({attempt, step});
}

std::string folder_name(const AttemptName& folder) {
  return folder.entry == AttemptEntry::open ? attempt_name(folder.attempt) : closed_name(folder.attempt);
}

// Of every attempt, open or closed.
std::vector<AttemptName> attempt_folders(FileSystem& files, const std::filesystem::path& checkpoints) {
  std::vector<AttemptName> found = attempt_names(files, checkpoints, AttemptEntry::open);
  for (const AttemptName& name : attempt_names(files, checkpoints, AttemptEntry::closed))
    found.push_back(name);
  std::erase_if(found, [&](const AttemptName& name) {
    return files.kind(checkpoints / folder_name(name)) != FileKind::directory;
  });
  return found;
}

}  // namespace

std::int64_t claim_attempt(FileSystem& files, const std::filesystem::path& checkpoints, std::int64_t above) {
  if (!files.exists(checkpoints)) {
    files.make_directory(checkpoints);
    files.sync_directory(folder_of(checkpoints));
  }
  std::int64_t number = above;
  for (const std::string& name : files.list(checkpoints)) {
    if (const auto attempt = attempt_of(name)) number = std::max(number, attempt->attempt);
  }
  for (;;) {
    try {
      files.open(checkpoints / record_name(++number), OpenMode::create)->sync();
      files.sync_directory(checkpoints);
      return number;
    } catch (const FileError& error) {
      if (error.code() != EEXIST) throw;  // somebody who started at the same time was faster
    }
  }
}

Error closed_attempt(const std::filesystem::path& checkpoints, std::int64_t attempt) {
  return input_error((checkpoints / attempt_name(attempt)).string(),
                     " is not this process's any more: a later attempt of the run has closed it and goes on "
                     "without this one, which saves nothing and ends");
}

std::filesystem::path open_attempt(FileSystem& files, const std::filesystem::path& checkpoints,
                                   std::int64_t attempt) {
  if (const auto newest = newest_record(files, checkpoints); newest && newest->attempt > attempt)
    throw closed_attempt(checkpoints, attempt);
  const auto own = checkpoints / attempt_name(attempt);
  files.make_directory(own);
  for (const AttemptName& earlier : attempt_names(files, checkpoints, AttemptEntry::open)) {
    if (earlier.attempt < attempt) close_attempt(files, checkpoints, earlier.attempt);
  }
  files.sync_directory(checkpoints);
  const std::vector<AcceptedCheckpoint> accepted = accepted_checkpoints(files, checkpoints);
  write_text_atomically(files, checkpoints / record_name(attempt), record_text(accepted));
  if (!accepted.empty()) write_latest(files, checkpoints, accepted.front().path);
  return own;
}

void write_latest(FileSystem& files, const std::filesystem::path& checkpoints, const std::string& path) {
  write_text_atomically(files, checkpoints / kLatestName, path + "\n");
}

std::vector<AcceptedCheckpoint> accepted_checkpoints(FileSystem& files,
                                                     const std::filesystem::path& checkpoints) {
  std::vector<AcceptedCheckpoint> accepted;
  if (!files.exists(checkpoints)) return accepted;
  for (const std::string& name : files.list(checkpoints)) {
    if (const auto found = committed_of(name)) accepted.push_back({.step = found->step, .path = name});
  }
  const std::optional<Record> record = newest_record(files, checkpoints);
  for (const AttemptName& folder : attempt_folders(files, checkpoints)) {
    const std::string name = folder_name(folder);
    for (const std::string& inside : files.list(checkpoints / name)) {
      const auto step = step_of(inside);
      if (step && counts(record, folder.attempt, *step))
        accepted.push_back({.step = *step, .attempt = folder.attempt, .path = name + "/" + inside});
    }
  }
  std::sort(accepted.begin(), accepted.end(), [](const AcceptedCheckpoint& a, const AcceptedCheckpoint& b) {
    return std::tie(b.step, b.attempt, a.path) < std::tie(a.step, a.attempt, b.path);
  });
  return accepted;
}

std::vector<std::string> folders_up_to(FileSystem& files, const std::filesystem::path& checkpoints,
                                       std::int64_t attempt) {
  std::vector<std::string> folders{""};
  for (const AttemptName& folder : attempt_folders(files, checkpoints)) {
    if (folder.attempt <= attempt) folders.push_back(folder_name(folder));
  }
  return folders;
}

}  // namespace drover
