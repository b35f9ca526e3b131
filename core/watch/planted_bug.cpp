#include "core/watch/planted_bug.h"

#include <algorithm>
#include <array>

#include "core/base/error.h"

namespace drover {

namespace {

constexpr std::array kBugs{
    BugInfo{Bug::gradient_not_summed_over_group, "gradient-not-summed-over-group",
            "a rank keeps its own gradient where those of context x shard ranks are summed",
            "context or shard above 1"},
    BugInfo{Bug::gradient_not_summed_over_replicas, "gradient-not-summed-over-replicas",
            "a rank keeps its own gradient where those of replicas are summed", "replicate above 1"},
    BugInfo{Bug::input_gradient_not_summed_over_tensor, "input-gradient-not-summed-over-tensor",
            "a rank keeps its own input gradient where those of tensor ranks are summed", "tensor above 1"},
    BugInfo{Bug::kv_copies_not_summed, "kv-copies-not-summed",
            "gradients of kv heads that several tensor ranks hold are not summed",
            "tensor above the kv heads"},
    BugInfo{Bug::norm_gradient_not_summed, "norm-gradient-not-summed",
            "gradients of norms, of which each tensor rank saw some tokens, are not summed",
            "tensor above 1"},
    BugInfo{Bug::tied_gradient_not_summed, "tied-gradient-not-summed",
            "gradients of a tied table at both ends of a pipeline are not summed",
            "tied embeddings; pipeline above 1, but not zb-v, whose ends are on one rank"},
    BugInfo{Bug::tied_use_overwritten, "tied-use-overwritten",
            "the embedding's gradient replaces the head's in a tied table instead of adding to it",
            "tied embeddings, pipeline 1"},
    BugInfo{Bug::loss_normalised_per_rank, "loss-normalised-per-rank",
            "each rank divides by its own number of valid targets", "context, shard or replicate above 1"},
    BugInfo{Bug::norm_counts_replicas, "norm-counts-replicas",
            "the gradient norm that clipping compares counts every replica", "replicate above 1"},
    BugInfo{Bug::stale_gathered_weight, "stale-gathered-weight",
            "weights gathered before an update are used after it", "context or shard above 1"},
    BugInfo{Bug::bfloat16_accumulation, "bfloat16-accumulation", "sums of gradients are kept in bfloat16",
            "any"},
    BugInfo{Bug::last_microbatch_dropped, "last-microbatch-dropped",
            "the rows of every rank's last microbatch are left out", "two or more microbatches"},
    BugInfo{Bug::saved_of_another_microbatch, "saved-of-another-microbatch",
            "backward of a microbatch reads what forward saved of another one",
            "two microbatches in flight: gpipe, or pipeline above 1"},
    BugInfo{Bug::segment_edge_off_by_one, "segment-edge-off-by-one",
            "a document also sees the last token of the one before it", "any"},
    BugInfo{Bug::positions_from_piece, "positions-from-piece",
            "positions count from the start of a context rank's piece, not of the document",
            "context above 1"},
    BugInfo{Bug::pieces_swapped_in_backward, "pieces-swapped-in-backward",
            "gradients of keys and values go back to the ranks in the order of the wrong pieces",
            "context above 1"},
};

}  // namespace

std::span<const BugInfo> known_bugs() { return kBugs; }

std::string_view name_of(Bug bug) {
  const auto found =
      std::find_if(kBugs.begin(), kBugs.end(), [&](const BugInfo& info) { return info.bug == bug; });
  DROVER_CHECK(found != kBugs.end(), "a bug without a name");
  return found->name;
}

Bug bug_named(std::string_view name) {
  std::string names;
  for (const BugInfo& info : kBugs) {
    if (info.name == name) return info.bug;
    names += cat(names.empty() ? "" : ", ", info.name);
  }
  throw usage_error("'", name, "' is no bug that can be planted; there are ", names);
}

}  // namespace drover
