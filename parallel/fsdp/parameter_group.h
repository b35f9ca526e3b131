// FSDP as visible verbs. The parameters gathered together (a block's, the embedding's, the head's) form a
// group; each of the CP x shard ranks of `Connections::group` owns one flat aligned slice of it (its shard),
// and the replicate axis holds copies of shards.
//
//   groups.gather(exec, l + 1);                      // starts to collect working weights, under the compute of l
//   Tensor weights = groups.use(exec, l);            // waits for them
//   ... compute ...
//   groups.release(exec, l, stretch, part);          // ZeRO-3: ends the use; at a stretch's end the copy may go
//   Tensor gradients = groups.gradients(exec, l);    // full float32 gradient, to be added to
//   groups.gradients_ready(exec, l);                 // starts to reduce it, as the policy says
//
// Policies (ZeRO, Rajbhandari et al. 2020; ZeRO-2 is Llama 3's choice):
//   ZeRO-1  gathers once per step; accumulates full gradients; reduce-scatters once per step, after the last stretch
//   ZeRO-2  gathers once per step; reduce-scatters after the last weight gradient of each stretch into a shard
//           accumulator
//   ZeRO-3  as ZeRO-2; gathers at the first use in a stretch of forwards, of input gradients or of weight
//           gradients, and releases at the last use of the last stretch that goes on
// A stretch is a sequence of consecutive actions of one kind of one stage (parallel/pipeline/schedule.h); without a
// pipeline it is one microbatch. gradients_ready ends one of weight gradients. After a group's last stretch of a step
// its shard is summed over the replicate axis as soon as the group's own reduction is complete, which is asked for
// when the next group's starts. So both travel under the backward of the groups before. Every rank of the group and
// of the replicate axis issues the same verbs in the same order, empty microbatches included.
//
// Memory per rank, P parameters over S shards, c and m bytes of compute and master dtype: masters and moments
// 3 P m / S; working weights P c (ZeRO-3: P c / S, embedding, head and `gathered_at_once` blocks); full gradients
// P m (ZeRO-2 and 3: embedding, head and `groups_per_stretch` blocks and one on its way, and P m / S). One thread
// uses it. Nothing allocates after construction.
#pragma once

#include <bitset>
#include <optional>
#include <string>
#include <vector>

#include "parallel/comm/communicator.h"
#include "parallel/mesh/layout.h"
#include "parallel/pipeline/schedule.h"

namespace drover {

enum class Zero : std::uint8_t { one = 1, two = 2, three = 3 };

struct ParameterGroupsOptions {
  std::vector<GroupLayout> layouts;  // by group index
  DType compute = DType::float32;
  Zero zero = Zero::two;
  // How many groups that take turns are filled with gradients at once: 1 where a stretch is one microbatch, a stage's
  // blocks where it is longer.
  std::int64_t groups_per_stretch = 1;
  // ZeRO-3: of how many groups that take turns the weights are there at once (most_gathered,
  // parallel/pipeline/schedule.h).
  std::int64_t gathered_at_once = 2;
};

// What a rank owns of one group: flat slices of masters, moments and the reduced gradient. Views;
// ParameterGroups owns.
struct GroupShard {
  std::int64_t begin = 0;                     // first flat element of the group
  Tensor master, moment1, moment2, gradient;  // [shard_size] master dtype
  Tensor working;  // [shard_size] compute dtype: what the optimizer writes and gathers send

  // The elements [from, to) of the group in `flat`, one of its tensors: those that it holds, perhaps none.
  Tensor part(const Tensor& flat, std::int64_t from, std::int64_t to) const;
};

class ParameterGroups {
 public:
  // `group` and `replicate` (Connections) must outlive this.
  ParameterGroups(Memory& memory, Communicator& group, Communicator& replicate,
                  ParameterGroupsOptions options);
  ParameterGroups(const ParameterGroups&) = delete;
  ParameterGroups& operator=(const ParameterGroups&) = delete;

  int count() const { return static_cast<int>(options_.layouts.size()); }
  const GroupLayout& layout(int group) const { return options_.layouts[static_cast<std::size_t>(group)]; }
  const GroupShard& shard(int group) const { return states_[static_cast<std::size_t>(group)].shard; }
  DType compute() const { return options_.compute; }
  DType master() const { return master_dtype(options_.compute); }

  // Starts to collect the working weights. Nothing to do when they are there or on their way.
  void gather(const Exec& exec, int group);
  // The flat working weights [size], compute dtype; gathers when nobody did. Valid until release.
  Tensor use(const Exec& exec, int group);
  // ZeRO-3, after a use by an action that is this part of its stretch: in the middle the copy stays for the rest of the
  // stretch; at its end its memory is free, unless the copy stays for a stretch of another kind.
  void release(const Exec& exec, int group, StretchKind stretch, StretchPart part);
  // At the end of a stretch whose last action may have used no weights: releases what stayed for it.
  void end_stretch(const Exec& exec, StretchKind stretch);

  // Before the first microbatch of a step: gradients start from zero, and no stretches are expected.
  void begin_step(const Exec& exec);
  // So many more gradients_ready of this group will come in the step. At least one for every group.
  void expect_stretches(int group, int stretches) { state(group).stretches_left += stretches; }
  // The flat full gradient [size], master dtype: add to it. Valid until gradients_ready.
  Tensor gradients(const Exec& exec, int group);
  void gradients_ready(const Exec& exec, int group);
  // After the last microbatch: every shard's `gradient` holds the sum over microbatches, group and replicate
  // ranks when it returns.
  void finish_gradients(const Exec& exec);

  // After the optimizer wrote `working`: gathered copies are out of date. Not inside a stretch.
  void weights_updated(const Exec& exec);

 private:
  // A full-size buffer that groups take turns in (or one of their own).
  struct Slot {
    Tensor flat;
    int owner = -1;
  };
  struct State {
    GroupShard shard;
    int pool = 0;  // which pool of slots it draws from: groups of equal size share one
    int weights_slot = -1, gradients_slot = -1;
    std::bitset<kStretchKinds> stretches;  // that the gathered weights stay for
    bool gathered = false;                 // complete and up to date
    int stretches_left = 0;                // of weight gradients in this step
    bool reduced_once = false;             // the shard's gradient holds a sum already
    std::int64_t reduction = 0;            // when its reduction was started
    // reducing: over the group, into the full gradient's own slice; replicating: the shard's sum over replicas
    Pending gathering, reducing, replicating;
  };
  struct Pool {
    std::vector<Slot> weights, gradients;
    std::int64_t size = 0;
    bool in_turn = false;
    int members = 0;
  };

  State& state(int group) { return states_[static_cast<std::size_t>(group)]; }
  Pool& pool(int group) { return pools_[static_cast<std::size_t>(state(group).pool)]; }
  bool keeps_weights() const { return options_.zero != Zero::three; }
  bool keeps_gradients() const { return options_.zero == Zero::one; }
  void assign_pools();
  void make_slots(Memory& memory);
  void make_shards(Memory& memory);
  bool keeps_stale(const Exec& exec, int group);
  Tensor own_slice(int group, const Tensor& flat) const;
  int take_weights_slot(int group);
  int take_gradients_slot(const Exec& exec, int group);
  void reduce(const Exec& exec, int group);
  void collect_reduction(const Exec& exec, int group);
  void collect_complete(const Exec& exec, int except);
  void sum_replicas(const Exec& exec, int group);

  Communicator& group_;
  Communicator& replicate_;
  ParameterGroupsOptions options_;
  // Before the states: when an exception unwinds, the operations in these are abandoned before this memory goes, which
  // other ranks read and write until then.
  std::vector<Buffer> buffers_;
  std::vector<State> states_;
  std::vector<Pool> pools_;
  std::int64_t reductions_ = 0;
};

}  // namespace drover
