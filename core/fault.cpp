#include "core/fault.h"

#include <algorithm>
#include <array>

#include "core/error.h"

namespace drover {

namespace {

constexpr std::array kFaults{
    FaultInfo{Fault::segment_edge_off_by_one, "segment-edge-off-by-one",
              "a document also sees the last token of the one before it", "any"},
    FaultInfo{Fault::positions_from_piece, "positions-from-piece",
              "positions count from the start of a context rank's piece, not of the document",
              "context above 1"},
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
