// Context parallelism by all-gather (Llama 3, section 3.3.2): each of the CP ranks holds the queries, keys and
// values of its N tokens; before attention it collects the keys and values of all of them, N_all = CP x N, and puts
// them in document order (core/tensor/microbatch.h: key_order), so that a document is one range of keys however it
// was cut. Backward collects them again and reduce-scatters the gradients of keys and values.
//
// Both happen per group of kv heads, all started at once: attention begins on the first while the next arrives, and
// the gradients of the first travel while those of the next are computed.
//
// Bits depend on shapes and CP alone: gradients add in rank order. A rank alone (CP = 1) obeys the same verbs, on its
// own keys, without copies.
#pragma once

#include <array>
#include <cstdint>

#include "core/ops/backend.h"
#include "parallel/comm/communicator.h"

namespace drover {

// Of the tokens of a microbatch on one context rank.
struct KeyOrder {
  Tensor key_order, gathered_order;  // [N_all] int32; empty on a rank alone
};

// [N, heads, E] as [N, heads E]
inline Tensor rows_of(const Tensor& x) { return x.view({x.dims[0], x.dims[1] * x.dims[2]}); }

class ContextRegion {
 public:
  static constexpr int kMostGroups = 4;
  // `context` (Connections::context) outlives this. Used by the rank's one compute thread.
  explicit ContextRegion(Communicator& context) : context_(context) {}

  int size() const { return context_.size(); }
  // Into how many groups K kv heads are cut.
  int groups(std::int64_t kv_heads) const;

  struct KeysValues {
    Tensor k, v;  // [N_all, K / groups, E] in document order
  };
  // Keys and values on their way. Lives in the scratch of the scope in which it was started.
  class Gathering {
    friend class ContextRegion;
    struct Group {
      Tensor gathered;  // [N_all, 2 K / groups, E]: a token's keys, then its values
      Pending pending;
    };
    std::array<Group, kMostGroups> groups;
    KeysValues local;
  };
  // k, v [N, K, E] of this rank; may be strided. Started operations read copies.
  Gathering start_gather(const Exec&, const Tensor& k, const Tensor& v);
  // The keys and values of one group; takes scratch.
  KeysValues finish_gather(const Exec&, Gathering&, int group, const KeyOrder&);

  // Gradients of one group's keys and values on their way back to the ranks they belong to.
  struct Scattering {
    Tensor local;  // [N, 2 K / groups, E] master, valid once `pending` was waited for
    Pending pending;
  };
  // gradients [N_all, 2 K / groups, E] master in document order: a token's dk, then its dv; not to be touched while
  // this runs.
  Scattering start_scatter(const Exec&, const Tensor& gradients, const KeyOrder&);

 private:
  Communicator& context_;
};

}  // namespace drover
