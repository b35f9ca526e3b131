// Names in a run's checkpoints/ folder. Pure: nothing here looks at files.
//
//   attempt_3/          where attempt 3 commits; open
//   attempt_3.closed/   the same, once a later attempt has closed it
//   attempt_3.json      that attempt 3 was claimed, and what it accepts of those before
//   step_N/             in one of those folders: committed (in checkpoints/ itself: of format 1, or put there by hand)
//   step_N.partial/     being written, or being removed; never read
//   step_N.replaced/    of format 1: committed, moved aside while the step was saved again
//   rank_00003.h5       in one of those: what rank 3 held; in format 1 beside rank_00003.json, its table
//   LATEST              path of the newest checkpoint; for people, not read by Drover
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace drover {

inline constexpr std::string_view kLatestName = "LATEST";

std::string step_name(std::int64_t step);     // "step_0000000500"
std::string partial_name(std::int64_t step);  // "step_0000000500.partial"
std::string shard_name(std::int64_t rank);    // "rank_00003.h5"
// Exactly what step_name() writes; and the step of a partial_name().
std::optional<std::int64_t> step_of(std::string_view name);
std::optional<std::int64_t> step_of_partial(std::string_view name);
std::string old_table_name(std::int64_t rank);  // "rank_00003.json", of format 1
// Exactly what shard_name() writes.
std::optional<std::int64_t> rank_of_shard(std::string_view name);

std::string attempt_name(std::int64_t attempt);  // "attempt_3"
std::string closed_name(std::int64_t attempt);   // "attempt_3.closed"
std::string record_name(std::int64_t attempt);   // "attempt_3.json"

enum class AttemptEntry : std::uint8_t { open, closed, record };
struct AttemptName {
  std::int64_t attempt = 0;
  AttemptEntry entry = AttemptEntry::open;
};
// Exactly what one of the three writes.
std::optional<AttemptName> attempt_of(std::string_view name);

// A committed folder, by name alone.
struct CommittedName {
  std::int64_t step = 0;
  bool replaced = false;
  std::string name;
};
std::optional<CommittedName> committed_of(const std::string& name);

}  // namespace drover
