#include "parallel/mesh.h"

namespace drover {

namespace {

constexpr std::array kOrder = {Axis::tensor, Axis::context, Axis::pipeline, Axis::shard, Axis::replicate};

// The numbers that divide `n` just below and above `wanted`, for messages.
std::string nearest_divisors(int n, int wanted) {
  int below = 1, above = n;
  for (int d = 1; d <= n; ++d) {
    if (n % d != 0) continue;
    if (d <= wanted) below = d;
    if (d >= wanted && d < above) above = d;
  }
  return below == above ? cat(below) : cat(below, " or ", above);
}

}  // namespace

std::string_view name_of(Axis axis) {
  constexpr std::array<std::string_view, kAxes> kNames = {"tensor", "context", "pipeline", "shard",
                                                          "replicate"};
  return kNames[static_cast<std::size_t>(axis)];
}

int& AxisValues::operator[](Axis axis) {
  switch (axis) {
    case Axis::tensor:
      return tensor;
    case Axis::context:
      return context;
    case Axis::pipeline:
      return pipeline;
    case Axis::shard:
      return shard;
    case Axis::replicate:
      return replicate;
  }
  return replicate;
}

int AxisValues::operator[](Axis axis) const { return const_cast<AxisValues&>(*this)[axis]; }

Mesh::Mesh(const AxisValues& sizes) : sizes_(sizes) {
  for (Axis axis : kOrder)
    if (sizes[axis] < 1)
      throw usage_error("parallel.", name_of(axis), " is ", sizes[axis], "; it must be at least 1");
}

Mesh Mesh::fitting(int ranks, AxisValues sizes) {
  const bool rest = sizes.shard == -1;
  if (rest) sizes.shard = 1;
  std::int64_t needed = 1;
  for (Axis axis : kOrder)
    if (needed *= std::max(1, sizes[axis]); needed > ranks)  // before a product could leave int
      throw usage_error("the configuration's layout needs more ranks than the ", ranks,
                        " that were started: tensor ", sizes.tensor, ", context ", sizes.context,
                        ", pipeline ", sizes.pipeline, ", shard ", sizes.shard, ", replicate ",
                        sizes.replicate);
  const int fixed = Mesh(sizes).ranks();
  if (rest && ranks % fixed == 0) sizes.shard = ranks / fixed;
  const Mesh mesh(sizes);
  if (mesh.ranks() != ranks)
    throw usage_error("the configuration's layout ", mesh.describe(), " does not fit the ", ranks,
                      " ranks that were started; ",
                      rest ? cat("tensor x context x pipeline x replicate = ", fixed,
                                 " must divide the ranks: make it ", nearest_divisors(ranks, fixed))
                           : cat("start ", mesh.ranks(), " ranks or set parallel.shard: -1"));
  return mesh;
}

int Mesh::ranks() const {
  return sizes_.tensor * sizes_.context * sizes_.pipeline * sizes_.shard * sizes_.replicate;
}

AxisValues Mesh::coordinate(int rank) const {
  DROVER_CHECK(rank >= 0 && rank < ranks(), "rank ", rank, " of ", ranks());
  AxisValues coordinate;
  for (Axis axis : kOrder) {
    coordinate[axis] = rank % sizes_[axis];
    rank /= sizes_[axis];
  }
  return coordinate;
}

int Mesh::rank(const AxisValues& coordinate) const {
  int rank = 0;
  for (auto axis = kOrder.rbegin(); axis != kOrder.rend(); ++axis) {
    DROVER_CHECK(coordinate[*axis] >= 0 && coordinate[*axis] < sizes_[*axis], name_of(*axis), " coordinate ",
                 coordinate[*axis]);
    rank = rank * sizes_[*axis] + coordinate[*axis];
  }
  return rank;
}

std::vector<int> Mesh::line(int rank_on_line, Axis axis) const {
  AxisValues coordinate = this->coordinate(rank_on_line);
  std::vector<int> ranks;
  for (int i = 0; i < sizes_[axis]; ++i) {
    coordinate[axis] = i;
    ranks.push_back(rank(coordinate));
  }
  return ranks;
}

std::string Mesh::describe() const {
  return cat("tp", sizes_.tensor, " cp", sizes_.context, " pp", sizes_.pipeline, " shard", sizes_.shard,
             " replicate", sizes_.replicate, " (", ranks(), " ranks)");
}

namespace {

// This rank's place among the two ends of a tied table, or nowhere.
std::unique_ptr<Communicator> connect_tied(const Mesh& mesh, Communicator& world,
                                           const std::array<int, 2>& ends) {
  AxisValues at = mesh.coordinate(world.rank());
  const bool shares = ends[0] != ends[1] && (at.pipeline == ends[0] || at.pipeline == ends[1]);
  const int key = at.pipeline == ends[0] ? 0 : 1;
  if (shares) at.pipeline = ends[0];
  return world.split(mesh.rank(at), key, "tied");
}

}  // namespace

Connections connect(const Mesh& mesh, Communicator& world, const SharedBetween& shared) {
  DROVER_CHECK(world.size() == mesh.ranks(), mesh.describe(), " over a world of ", world.size());
  const AxisValues at = mesh.coordinate(world.rank());
  // A color is the rank of the line's first member: the same for all of the line, distinct between lines.
  const auto along = [&](std::initializer_list<Axis> axes, int key, const char* name) {
    AxisValues first = at;
    for (Axis axis : axes) first[axis] = 0;
    return world.split(mesh.rank(first), key, name);
  };
  AxisValues first_copy = at;
  first_copy.tensor -= at.tensor % shared.tensor_copies;
  return {.tensor = along({Axis::tensor}, at.tensor, "tensor"),
          .context = along({Axis::context}, at.context, "context"),
          .pipeline = along({Axis::pipeline}, at.pipeline, "pipeline"),
          .group = along({Axis::context, Axis::shard}, mesh.group_shard(at), "group"),
          .replicate = along({Axis::replicate}, at.replicate, "replicate"),
          .copies = world.split(mesh.rank(first_copy), at.tensor, "copies"),
          .tied = connect_tied(mesh, world, shared.tied_pipeline)};
}

}  // namespace drover
