#include "checkpoint/format/names.h"

#include <charconv>
#include <iomanip>

#include "core/base/error.h"

namespace drover {
namespace {

constexpr std::string_view kStep = "step_", kPartial = ".partial", kReplaced = ".replaced";
constexpr std::string_view kAttempt = "attempt_", kClosed = ".closed", kJson = ".json";
constexpr std::int64_t kMostAttempts =
    1'000'000'000;  // whoever has a higher name did not start a run so often
constexpr std::string_view kRank = "rank_", kShard = ".h5";

std::string padded(std::int64_t number, int digits) {
  std::ostringstream out;
  out << std::setfill('0') << std::setw(digits) << number;
  return std::move(out).str();
}

// The number that follows `prefix`, if `write` makes `name` of it again.
template <class Write>
std::optional<std::int64_t> number_in(std::string_view name, std::string_view prefix, Write write) {
  std::int64_t number = 0;
  if (!name.starts_with(prefix)) return std::nullopt;
  const auto [end, error] = std::from_chars(name.data() + prefix.size(), name.data() + name.size(), number);
  if (error != std::errc() || number < 0 || write(number) != name) return std::nullopt;
  return number;
}

// The name without `suffix`; none if it does not end so.
std::optional<std::string_view> without(std::string_view name, std::string_view suffix) {
  if (!name.ends_with(suffix)) return std::nullopt;
  return name.substr(0, name.size() - suffix.size());
}

}  // namespace

std::string step_name(std::int64_t step) { return std::string(kStep) + padded(step, 10); }
std::string partial_name(std::int64_t step) { return step_name(step) + std::string(kPartial); }
std::string shard_name(std::int64_t rank) { return cat(kRank, padded(rank, 5), kShard); }
std::string old_table_name(std::int64_t rank) { return cat(kRank, padded(rank, 5), kJson); }
std::string attempt_name(std::int64_t attempt) { return cat(kAttempt, attempt); }
std::string closed_name(std::int64_t attempt) { return cat(kAttempt, attempt, kClosed); }
std::string record_name(std::int64_t attempt) { return cat(kAttempt, attempt, kJson); }

std::optional<std::int64_t> step_of(std::string_view name) { return number_in(name, kStep, step_name); }

std::optional<std::int64_t> step_of_partial(std::string_view name) {
  const auto stem = without(name, kPartial);
  return stem ? step_of(*stem) : std::nullopt;
}

std::optional<std::int64_t> rank_of_shard(std::string_view name) {
  return number_in(name, kRank, shard_name);
}

std::optional<AttemptName> attempt_of(std::string_view name) {
  const auto with = [&](auto write, AttemptEntry entry) -> std::optional<AttemptName> {
    const auto attempt = number_in(name, kAttempt, write);
    if (!attempt || *attempt > kMostAttempts) return std::nullopt;
    return AttemptName{.attempt = *attempt, .entry = entry};
  };
  if (const auto open = with(attempt_name, AttemptEntry::open)) return open;
  if (const auto closed = with(closed_name, AttemptEntry::closed)) return closed;
  return with(record_name, AttemptEntry::record);
}

std::optional<CommittedName> committed_of(const std::string& name) {
  const auto stem = without(name, kReplaced);
  const auto step = step_of(stem.value_or(name));
  if (!step) return std::nullopt;
  return CommittedName{.step = *step, .replaced = stem.has_value(), .name = name};
}

}  // namespace drover
