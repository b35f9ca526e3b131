// The grid of ranks: coordinates, lines and what of ranks is left to shard, at any size.
#include "parallel/mesh/mesh.h"

#include <atomic>
#include <set>

#include "parallel/comm/local/local_comm.h"
#include "tests/support/test_support.h"

namespace drover {
namespace {

constexpr AxisValues kSizes{.tensor = 2, .context = 3, .pipeline = 4, .shard = 5, .replicate = 6};
constexpr std::array kEveryAxis = {Axis::tensor, Axis::context, Axis::pipeline, Axis::shard, Axis::replicate};

}  // namespace

TEST_CASE("neighbouring ranks are neighbours along tensor, then context, pipeline, shard, replicate") {
  const Mesh mesh(kSizes);
  CHECK(mesh.ranks() == 720);
  int rank = 0;
  for (int replicate = 0; replicate < 6; ++replicate)
    for (int shard = 0; shard < 5; ++shard)
      for (int pipeline = 0; pipeline < 4; ++pipeline)
        for (int context = 0; context < 3; ++context)
          for (int tensor = 0; tensor < 2; ++tensor, ++rank) {
            const AxisValues at{tensor, context, pipeline, shard, replicate};
            CHECK(mesh.rank(at) == rank);
            CHECK((mesh.coordinate(rank) == at));
          }
}

TEST_CASE(
    "the line of a rank along an axis has every value of that axis once, in order, and nothing else moves") {
  const Mesh mesh(kSizes);
  for (const int rank : {0, 1, 137, 719})
    for (const Axis axis : kEveryAxis) {
      const std::vector<int> line = mesh.line(rank, axis);
      REQUIRE(static_cast<int>(line.size()) == mesh.size(axis));
      for (int value = 0; value < mesh.size(axis); ++value) {
        AxisValues at = mesh.coordinate(rank);
        at[axis] = value;
        CHECK(line[static_cast<std::size_t>(value)] == mesh.rank(at));
      }
    }
}

TEST_CASE("rows are dealt over shard and replicate, parameters are cut over context and shard") {
  const Mesh mesh(kSizes);
  CHECK(mesh.data_ranks() == 30);
  CHECK(mesh.group_shards() == 15);
  std::set<std::pair<int, int>> places;
  for (int rank = 0; rank < mesh.ranks(); ++rank) {
    const AxisValues at = mesh.coordinate(rank);
    CHECK(mesh.data_rank(at) == at.shard + 5 * at.replicate);
    CHECK(mesh.group_shard(at) == at.context + 3 * at.shard);
    if (at.tensor == 0 && at.pipeline == 0) places.insert({mesh.group_shard(at), at.replicate});
  }
  CHECK(places.size() == 15 * 6);
}

TEST_CASE("shard -1 takes the ranks that are left, and what does not fit is refused with what would") {
  const AxisValues rest{.tensor = 2, .context = 1, .pipeline = 4, .shard = -1, .replicate = 2};
  CHECK(Mesh::fitting(64, rest).size(Axis::shard) == 4);
  CHECK_THROWS_AS(Mesh::fitting(60, rest), Error);
  CHECK_THROWS_AS(Mesh::fitting(8, rest), Error);
  AxisValues all = rest;
  all.shard = 3;
  CHECK(Mesh::fitting(48, all).ranks() == 48);
  CHECK_THROWS_AS(Mesh::fitting(64, all), Error);
  CHECK_THROWS_AS(Mesh({.tensor = 0, .context = 1, .pipeline = 1, .shard = 1, .replicate = 1}), Error);
}

TEST_CASE("a rank's communicators are its lines, and its group is context within shard") {
  const Mesh mesh({.tensor = 2, .context = 2, .pipeline = 1, .shard = 3, .replicate = 2});
  std::atomic<int> wrong{0};
  run_local_ranks(mesh.ranks(), [&](Communicator& world) {
    const Connections connections = connect(mesh, world, {});
    const AxisValues at = mesh.coordinate(world.rank());
    const auto expect = [&](const Communicator& comm, int rank, int size) {
      if (comm.rank() != rank || comm.size() != size) ++wrong;
    };
    expect(*connections.tensor, at.tensor, 2);
    expect(*connections.context, at.context, 2);
    expect(*connections.pipeline, 0, 1);
    expect(*connections.group, mesh.group_shard(at), 6);
    expect(*connections.replicate, at.replicate, 2);
  });
  CHECK(wrong == 0);
}

TEST_CASE("a mesh of 131,072 ranks answers like a small one") {
  const Mesh mesh({.tensor = 8, .context = 16, .pipeline = 16, .shard = 8, .replicate = 8});
  CHECK(mesh.ranks() == 131072);
  for (const int rank : {0, 4097, 65536, 131071}) {
    CHECK(mesh.rank(mesh.coordinate(rank)) == rank);
    CHECK(mesh.line(rank, Axis::replicate).size() == 8);
  }
}

}  // namespace drover
