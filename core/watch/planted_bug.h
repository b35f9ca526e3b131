// Known bugs of parallel training, planted on purpose: `drover verify --inject FAULT` shows that a comparison
// with one process finds them. Production code asks at the line where the bug would be, behind one branch:
//
//   if (injects(exec.planted, Bug::positions_from_piece)) ...
//
// A normal run has no PlantedBug, and the branch is a test of a null pointer.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <string_view>

namespace drover {

enum class Bug : std::uint8_t {
  gradient_not_summed_over_group,
  gradient_not_summed_over_replicas,
  input_gradient_not_summed_over_tensor,
  kv_copies_not_summed,
  norm_gradient_not_summed,
  tied_gradient_not_summed,
  tied_use_overwritten,
  loss_normalised_per_rank,
  norm_counts_replicas,
  stale_gathered_weight,
  bfloat16_accumulation,
  last_microbatch_dropped,
  saved_of_another_microbatch,
  segment_edge_off_by_one,
  positions_from_piece,
  pieces_swapped_in_backward,
};

struct BugInfo {
  Bug bug{};
  std::string_view name;     // "segment-edge-off-by-one"
  std::string_view meaning;  // one line
  std::string_view needs;    // the layouts on which its line runs
};
std::span<const BugInfo> known_bugs();
std::string_view name_of(Bug bug);
// Error{usage} lists the names.
Bug bug_named(std::string_view name);

// The bug that is planted, and how often its line ran. Shared by the ranks of a process; thread-safe.
class PlantedBug {
 public:
  explicit PlantedBug(Bug bug) : bug_(bug) {}

  Bug bug() const { return bug_; }
  std::int64_t times_run() const { return times_run_.load(); }
  // Whether this is the one; counts it.
  bool plant(Bug bug) {
    if (bug != bug_) return false;
    times_run_.fetch_add(1, std::memory_order_relaxed);
    return true;
  }

 private:
  Bug bug_;
  std::atomic<std::int64_t> times_run_{0};
};

inline bool injects(PlantedBug* planted, Bug bug) { return planted != nullptr && planted->plant(bug); }

}  // namespace drover
