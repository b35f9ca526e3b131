#include "parallel/mesh/mesh.h"

#include "parallel/comm/shape_comm.h"

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

std::string describe(const AxisValues& v) {
  return cat("tp", v.tensor, " cp", v.context, " pp", v.pipeline, " shard", v.shard, " replicate",
             v.replicate);
}

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
                        sizes.replicate, "; start more ranks, or lower one of these parallel keys");
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
  return cat(drover::describe(sizes_), " (", ranks(), ranks() == 1 ? " rank)" : " ranks)");
}

namespace {

// One communicator of a rank: it is `place`-th of `size` ranks, the first of which has the rank `first` in the
// world: the same for all of them, and told apart from every other such group.
struct Line {
  const char* name;
  int first = 0, place = 0, size = 1;
};

Line along(const Mesh& mesh, AxisValues at, std::initializer_list<Axis> axes, int place, const char* name) {
  Line line{.name = name, .place = place};
  for (const Axis axis : axes) {
    at[axis] = 0;
    line.size *= mesh.size(axis);
  }
  line.first = mesh.rank(at);
  return line;
}

// Tensor ranks that hold the same kv heads.
Line among_copies(const Mesh& mesh, AxisValues at, int copies) {
  const int place = at.tensor % copies;
  at.tensor -= place;
  return {.name = "copies", .first = mesh.rank(at), .place = place, .size = copies};
}

// The two ends of a tied table; a rank that is at neither is alone.
Line between_ends(const Mesh& mesh, AxisValues at, const std::array<int, 2>& ends) {
  Line line{.name = "tied"};
  if (ends[0] != ends[1] && (at.pipeline == ends[0] || at.pipeline == ends[1])) {
    line.place = at.pipeline == ends[0] ? 0 : 1;
    line.size = 2;
    at.pipeline = ends[0];
  }
  line.first = mesh.rank(at);
  return line;
}

template <class Make>
Connections connections_of(const Mesh& mesh, int rank, const SharedBetween& shared, Make make) {
  const AxisValues at = mesh.coordinate(rank);
  const auto on = [&](std::initializer_list<Axis> axes, int place, const char* name) {
    return make(along(mesh, at, axes, place, name));
  };
  return {.tensor = on({Axis::tensor}, at.tensor, "tensor"),
          .context = on({Axis::context}, at.context, "context"),
          .pipeline = on({Axis::pipeline}, at.pipeline, "pipeline"),
          .group = on({Axis::context, Axis::shard}, mesh.group_shard(at), "group"),
          .replicate = on({Axis::replicate}, at.replicate, "replicate"),
          .copies = make(among_copies(mesh, at, shared.tensor_copies)),
          .tied = make(between_ends(mesh, at, shared.tied_pipeline))};
}

}  // namespace

Connections connect(const Mesh& mesh, Communicator& world, const SharedBetween& shared) {
  DROVER_CHECK(world.size() == mesh.ranks(), mesh.describe(), " over a world of ", world.size());
  return connections_of(mesh, world.rank(), shared, [&](const Line& line) {
    auto made = world.split(line.first, line.place, line.name);
    DROVER_CHECK(made->rank() == line.place && made->size() == line.size, line.name, ": rank ", made->rank(),
                 " of ", made->size(), ", not ", line.place, " of ", line.size);
    return made;
  });
}

Connections shape_connections(const Mesh& mesh, int rank, const SharedBetween& shared) {
  return connections_of(mesh, rank, shared, [](const Line& line) -> std::unique_ptr<Communicator> {
    return std::make_unique<ShapeComm>(line.size, line.place);
  });
}

}  // namespace drover
