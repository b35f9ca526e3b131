#include "parallel/fsdp/parameter_group.h"

#include <algorithm>

#include "core/ops/ops.h"
#include "core/watch/planted_bug.h"

namespace drover {

namespace {

// Through memory that nobody needs.
void round_to_bfloat16(const Exec& exec, const Tensor& x, const Tensor& free) {
  const Tensor rounded = Tensor::of(free.data, DType::bfloat16, {x.dims[0]});
  ops::copy(exec, {.in = x, .out = rounded});
  ops::copy(exec, {.in = rounded, .out = x});
}

}  // namespace

Tensor GroupShard::part(const Tensor& flat, std::int64_t from, std::int64_t to) const {
  const auto held = [&](std::int64_t element) {
    return std::clamp<std::int64_t>(element - begin, 0, flat.dims[0]);
  };
  return flat.slice(0, held(from), held(to));
}

ParameterGroups::ParameterGroups(Memory& memory, Communicator& group, Communicator& replicate,
                                 ParameterGroupsOptions options)
    : group_(group), replicate_(replicate), options_(std::move(options)), states_(options_.layouts.size()) {
  assign_pools();
  make_slots(memory);
  make_shards(memory);
}

void ParameterGroups::assign_pools() {
  for (int g = 0; g < count(); ++g) {
    const std::int64_t size = layout(g).size;
    DROVER_CHECK(size == layout(g).shard_size * group_.size(), layout(g).name,
                 " cut for another number of shards");
    auto found = std::find_if(pools_.begin(), pools_.end(), [&](const Pool& pool) {
      return layout(g).in_turn && pool.in_turn && pool.size == size;
    });
    if (found == pools_.end()) found = pools_.insert(found, {.size = size, .in_turn = layout(g).in_turn});
    state(g).pool = static_cast<int>(found - pools_.begin());
    ++found->members;
  }
}

void ParameterGroups::make_slots(Memory& memory) {
  const auto make = [&](std::vector<Slot>& slots, std::int64_t count, std::int64_t size, DType dtype,
                        MemoryCategory category) {
    for (std::int64_t i = 0; i < count; ++i) {
      buffers_.emplace_back(memory, size * size_of(dtype), category);
      slots.push_back({.flat = buffers_.back().tensor(dtype, {size})});
    }
  };
  for (Pool& pool : pools_) {
    // Groups that do not take turns are there all at once, on a rank without blocks too.
    const std::int64_t all = pool.members, weights = pool.in_turn ? options_.gathered_at_once : all,
                       gradients = options_.groups_per_stretch + 1;  // one more on its way out
    make(pool.weights, keeps_weights() ? all : std::min(all, weights), pool.size, compute(),
         MemoryCategory::weights);
    make(pool.gradients, keeps_gradients() ? all : std::min(all, gradients), pool.size, master(),
         MemoryCategory::gradients);
  }
}

void ParameterGroups::make_shards(Memory& memory) {
  for (int g = 0; g < count(); ++g) {
    const std::int64_t n = layout(g).shard_size;
    const auto make = [&](DType dtype, MemoryCategory category) {
      buffers_.emplace_back(memory, n * size_of(dtype), category);
      return buffers_.back().tensor(dtype, {n});
    };
    GroupShard& shard = state(g).shard;
    shard.begin = n * group_.rank();
    shard.master = make(master(), MemoryCategory::optimizer);
    shard.moment1 = make(master(), MemoryCategory::optimizer);
    shard.moment2 = make(master(), MemoryCategory::optimizer);
    shard.gradient = make(master(), MemoryCategory::gradients);
    // Where the gathered copy stays, the optimizer writes straight into its own part of it, and gathering is
    // in place.
    shard.working = keeps_weights()
                        ? own_slice(g, pool(g).weights[static_cast<std::size_t>(take_weights_slot(g))].flat)
                        : make(compute(), MemoryCategory::weights);
  }
}

Tensor ParameterGroups::own_slice(int group, const Tensor& flat) const {
  const std::int64_t n = layout(group).shard_size;
  return flat.slice(0, n * group_.rank(), n * (group_.rank() + 1));
}

int ParameterGroups::take_weights_slot(int group) {
  std::vector<Slot>& slots = pool(group).weights;
  for (std::size_t i = 0; i < slots.size(); ++i) {
    if (slots[i].owner != -1) continue;
    slots[i].owner = group;
    return state(group).weights_slot = static_cast<int>(i);
  }
  DROVER_CHECK(false, "no slot for the weights of ", layout(group).name,
               ": more groups in use than were counted");
  return -1;
}

void ParameterGroups::gather(const Exec& exec, int group) {
  State& s = state(group);
  if (s.gathered || !s.gathering.done()) return;
  if (s.weights_slot < 0) take_weights_slot(group);
  const Tensor& flat = pool(group).weights[static_cast<std::size_t>(s.weights_slot)].flat;
  s.gathering = group_.all_gather(exec, {.in = s.shard.working, .out = flat});
}

Tensor ParameterGroups::use(const Exec& exec, int group) {
  gather(exec, group);
  State& s = state(group);
  s.gathering.wait(exec);
  s.gathered = true;
  return pool(group).weights[static_cast<std::size_t>(s.weights_slot)].flat;
}

// A planted bug: a copy whose memory nobody else needs is not released.
bool ParameterGroups::keeps_stale(const Exec& exec, int group) {
  return group_.size() > 1 && std::ssize(pool(group).weights) == pool(group).members &&
         injects(exec.planted, Bug::stale_gathered_weight);
}

void ParameterGroups::release(const Exec& exec, int group, StretchKind stretch, StretchPart part) {
  if (keeps_weights()) return;
  State& s = state(group);
  DROVER_CHECK(s.gathered, "release of ", layout(group).name, " before use");
  s.stretches.set(static_cast<std::size_t>(stretch), part == StretchPart::middle);
  if (s.stretches.any() || keeps_stale(exec, group)) return;
  pool(group).weights[static_cast<std::size_t>(s.weights_slot)].owner = -1;
  s.weights_slot = -1;
  s.gathered = false;
}

void ParameterGroups::end_stretch(const Exec& exec, StretchKind stretch) {
  for (int g = 0; g < count(); ++g)
    if (state(g).stretches.test(static_cast<std::size_t>(stretch)))
      release(exec, g, stretch, StretchPart::last);
}

void ParameterGroups::begin_step(const Exec&) {
  for (State& s : states_) {
    s.stretches_left = 0;
    s.reduced_once = false;
  }
}

Tensor ParameterGroups::gradients(const Exec& exec, int group) {
  State& s = state(group);
  DROVER_CHECK(s.stretches_left > 0, "gradients of ", layout(group).name,
               " after the last stretch of the step");
  if (!s.reducing.done()) collect_reduction(exec, group);
  if (s.gradients_slot < 0) {
    s.gradients_slot = take_gradients_slot(exec, group);
    ops::fill(exec,
              {.out = pool(group).gradients[static_cast<std::size_t>(s.gradients_slot)].flat, .value = 0});
  }
  return pool(group).gradients[static_cast<std::size_t>(s.gradients_slot)].flat;
}

int ParameterGroups::take_gradients_slot(const Exec& exec, int group) {
  std::vector<Slot>& slots = pool(group).gradients;
  for (int pass = 0; pass < 2; ++pass) {
    for (std::size_t i = 0; i < slots.size(); ++i) {
      if (slots[i].owner != -1) continue;
      slots[i].owner = group;
      return static_cast<int>(i);
    }
    // None is free: wait for the reduction that was started first.
    int oldest = -1;
    for (const Slot& slot : slots)
      if (!state(slot.owner).reducing.done() &&
          (oldest < 0 || state(slot.owner).reduction < state(oldest).reduction))
        oldest = slot.owner;
    DROVER_CHECK(oldest >= 0, "no slot for the gradients of ", layout(group).name);
    collect_reduction(exec, oldest);
  }
  return -1;
}

void ParameterGroups::gradients_ready(const Exec& exec, int group) {
  State& s = state(group);
  const bool last = s.stretches_left == 1;
  if (last || !keeps_gradients()) reduce(exec, group);
  --s.stretches_left;
  if (last) collect_complete(exec, group);
}

// The reductions that were the last of their groups, but for the one that has just started.
void ParameterGroups::collect_complete(const Exec& exec, int except) {
  for (int g = count() - 1; g >= 0; --g)
    if (g != except && state(g).stretches_left == 0 && !state(g).reducing.done()) collect_reduction(exec, g);
}

void ParameterGroups::reduce(const Exec& exec, int group) {
  // A rank whose microbatch was empty has touched no gradient: it reduces zeros.
  const Tensor full = gradients(exec, group);
  state(group).reduction = reductions_++;
  const bool keeps_own = group_.size() > 1 && injects(exec.planted, Bug::gradient_not_summed_over_group);
  state(group).reducing = keeps_own
                              ? group_.barrier(exec)
                              : group_.reduce_scatter(exec, {.in = full, .out = own_slice(group, full)});
}

void ParameterGroups::collect_reduction(const Exec& exec, int group) {
  State& s = state(group);
  s.reducing.wait(exec);
  Slot& slot = pool(group).gradients[static_cast<std::size_t>(s.gradients_slot)];
  ops::copy(exec, {.in = own_slice(group, slot.flat),
                   .out = s.shard.gradient,
                   .write = s.reduced_once ? Write::add : Write::assign});
  if (injects(exec.planted, Bug::bfloat16_accumulation)) round_to_bfloat16(exec, s.shard.gradient, slot.flat);
  s.reduced_once = true;
  slot.owner = -1;
  s.gradients_slot = -1;
  if (s.stretches_left == 0) sum_replicas(exec, group);
}

void ParameterGroups::sum_replicas(const Exec& exec, int group) {
  if (replicate_.size() > 1 && injects(exec.planted, Bug::gradient_not_summed_over_replicas)) return;
  state(group).replicating = replicate_.all_reduce(exec, {.x = state(group).shard.gradient});
}

void ParameterGroups::finish_gradients(const Exec& exec) {
  collect_complete(exec, -1);
  for (int g = 0; g < count(); ++g) {
    State& s = state(g);
    DROVER_CHECK(s.stretches_left == 0 && s.reduced_once, "gradients of ", layout(g).name,
                 " are not complete: ", s.stretches_left, " stretches are left");
    s.replicating.wait(exec);
  }
}

void ParameterGroups::weights_updated(const Exec& exec) {
  for (State& s : states_) {
    DROVER_CHECK(s.gathering.done() && s.stretches.none(), "weights updated inside a stretch");
    if (s.gathered && group_.size() > 1 && injects(exec.planted, Bug::stale_gathered_weight)) continue;
    s.gathered = false;
  }
}

}  // namespace drover
