// The grid of ranks: pure integers, no communication. Axes are ordered from the innermost: tensor (TP),
// context (CP), pipeline (PP), and data (DP), as in Llama 3; DP = replicate x shard (HSDP), shard inside. So
// neighbours along TP are neighbouring ranks.
//
//   rank = tensor + TP * (context + CP * (pipeline + PP * (shard + SHARD * replicate)))
//
// Everything here costs O(axes), never O(ranks): it is the same at 2 and at 131,072 ranks.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "parallel/comm/communicator.h"

namespace drover {

enum class Axis : std::uint8_t { tensor, context, pipeline, shard, replicate };
constexpr int kAxes = 5;
std::string_view name_of(Axis axis);

// One number per axis: the sizes of a mesh, or the coordinate of a rank.
struct AxisValues {
  int tensor = 0, context = 0, pipeline = 0, shard = 0, replicate = 0;

  int operator[](Axis axis) const;
  int& operator[](Axis axis);
  bool operator==(const AxisValues&) const = default;
};
// "tp2 cp1 pp4 shard2 replicate1"
std::string describe(const AxisValues& values);

class Mesh {
 public:
  // Every size at least 1, or Error{usage}.
  explicit Mesh(const AxisValues& sizes);
  // shard = -1 stands for what is left of `ranks` after the others; Error{usage} names the nearest legal
  // values.
  static Mesh fitting(int ranks, AxisValues sizes);

  const AxisValues& sizes() const { return sizes_; }
  int size(Axis axis) const { return sizes_[axis]; }
  int ranks() const;
  // Ranks among which a step's rows are dealt out: shard x replicate.
  int data_ranks() const { return sizes_.shard * sizes_.replicate; }
  // Ranks over which a parameter group's flat shard is cut: context x shard.
  int group_shards() const { return sizes_.context * sizes_.shard; }

  AxisValues coordinate(int rank) const;
  int rank(const AxisValues& coordinate) const;
  // 0 .. data_ranks() - 1, replicate-major.
  int data_rank(const AxisValues& coordinate) const {
    return coordinate.shard + sizes_.shard * coordinate.replicate;
  }
  // 0 .. group_shards() - 1, shard-major: which flat slice of each group this rank owns.
  int group_shard(const AxisValues& coordinate) const {
    return coordinate.context + sizes_.context * coordinate.shard;
  }
  // The ranks that share all coordinates with `rank` except along `axis`, in order.
  std::vector<int> line(int rank, Axis axis) const;
  // "tp2 cp1 pp4 shard2 replicate1 (16 ranks)"
  std::string describe() const;

 private:
  AxisValues sizes_;
};

// A rank's communicators, one per way ranks talk. Only this function makes them, so that a new generation can
// be built after a loss.
struct Connections {
  std::unique_ptr<Communicator> tensor;    // along TP
  std::unique_ptr<Communicator> context;   // along CP
  std::unique_ptr<Communicator> pipeline;  // along PP
  std::unique_ptr<Communicator>
      group;  // CP x shard, in group_shard order: parameter groups gather and reduce here
  std::unique_ptr<Communicator> replicate;  // along replicate: shards are summed here
  std::unique_ptr<Communicator> copies;     // tensor ranks that hold the same kv heads
  std::unique_ptr<Communicator>
      tied;  // both ends of a pipeline, where they share a table; else this rank alone
};
// visit(communicator) for each of them.
template <class Visit>
void each(Connections& c, Visit visit) {
  for (auto* member : {&c.tensor, &c.context, &c.pipeline, &c.group, &c.replicate, &c.copies, &c.tied})
    visit(*member);
}
// What the model and the placement of its stages add to the mesh.
struct SharedBetween {
  int tensor_copies = 1;  // how many consecutive tensor ranks hold the same kv heads
  std::array<int, 2> tied_pipeline{0,
                                   0};  // pipeline coordinates of the two ends of a tied table; equal: none
};
// Collective over `world`, whose size must be mesh.ranks().
Connections connect(const Mesh& mesh, Communicator& world, const SharedBetween& shared);
// Those of `rank` with nobody at the other ends (parallel/comm/shape_comm.h): for dry runs.
Connections shape_connections(const Mesh& mesh, int rank, const SharedBetween& shared);

}  // namespace drover
