#include "core/fault.h"

#include <algorithm>
#include <array>

#include "core/error.h"

namespace drover {

namespace {

constexpr std::array kFaults{
    FaultInfo{Fault::gradient_not_summed_over_group, "gradient-not-summed-over-group",
              "a rank keeps its own gradient where those of context x shard ranks are summed",
              "context or shard above 1"},
    FaultInfo{Fault::gradient_not_summed_over_replicas, "gradient-not-summed-over-replicas",
              "a rank keeps its own gradient where those of replicas are summed", "replicate above 1"},
    FaultInfo{Fault::loss_normalised_per_rank, "loss-normalised-per-rank",
              "each rank divides by its own number of valid targets instead of the batch's mean of them",
              "context, shard or replicate above 1"},
    FaultInfo{Fault::tied_use_overwritten, "tied-use-overwritten",
              "the embedding's gradient replaces the head's in a tied table instead of adding to it",
              "tied embeddings, no pipeline"},
    FaultInfo{Fault::saved_of_another_microbatch, "saved-of-another-microbatch",
              "backward of a microbatch reads what forward saved of another one",
              "two microbatches of one size in flight: gpipe, or a pipeline"},
    FaultInfo{Fault::segment_edge_off_by_one, "segment-edge-off-by-one",
              "a document also sees the last token of the one before it", "any"},
    FaultInfo{Fault::norm_counts_replicas, "norm-counts-replicas",
              "the gradient norm that clipping compares counts every replica",
              "replicate above 1, gradients clipped"},
    FaultInfo{Fault::stale_gathered_weight, "stale-gathered-weight",
              "weights gathered before an update are used after it",
              "context or shard above 1, ZeRO-1 or ZeRO-2"},
    FaultInfo{Fault::last_microbatch_dropped, "last-microbatch-dropped",
              "a rank leaves its last microbatch out", "two or more microbatches"},
    FaultInfo{Fault::bfloat16_accumulation, "bfloat16-accumulation", "sums of gradients are kept in bfloat16",
              "any"},
};

}  // namespace

std::span<const FaultInfo> known_faults() { return kFaults; }

std::string_view name_of(Fault fault) {
  const auto found = std::find_if(kFaults.begin(), kFaults.end(),
                                  [&](const FaultInfo& info) { return info.fault == fault; });
  DROVER_CHECK(found != kFaults.end(), "a fault without a name");
  return found->name;
}

Fault fault_named(std::string_view name) {
  std::string names;
  for (const FaultInfo& info : kFaults) {
    if (info.name == name) return info.fault;
    names += cat(names.empty() ? "" : ", ", info.name);
  }
  throw usage_error("'", name, "' is no fault that can be planted; there are ", names);
}

}  // namespace drover
