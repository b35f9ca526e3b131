// What a tensor or context rank collects and gives back is what one rank alone would have had.
#include <cmath>
#include <numeric>
#include <vector>

#include "core/cpu/cpu_backend.h"
#include "core/ops/ops.h"
#include "parallel/comm/local/local_comm.h"
#include "parallel/regions/context_region.h"
#include "parallel/regions/tensor_region.h"
#include "tests/support/rank_checks.h"
#include "tests/support/test_support.h"

namespace drover {
namespace {

// A rank's means to compute.
struct Machine {
  HostMemory memory;
  std::unique_ptr<Backend> backend = make_cpu_backend(memory, {.threads = 1});
  Buffer buffer{memory, 16 << 20, MemoryCategory::scratch};
  Arena scratch{buffer};
  Exec exec{.backend = *backend, .scratch = scratch};
};

std::vector<double> numbers(std::int64_t count, int seed) {
  std::vector<double> x(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = std::sin(static_cast<double>(i + 1) * (seed + 1.25));
  return x;
}

Tensor matrix(std::vector<double>& x, std::int64_t cols) {
  return Tensor::of(x.data(), {static_cast<std::int64_t>(x.size()) / cols, cols});
}

constexpr std::int64_t kDim = 6, kOut = 10;

}  // namespace

TEST_CASE("a product beside a gather or a scatter is the product of the whole, for any number of pieces") {
  // 2048 tokens travel in four pieces, 512 in two or four, 24 in one.
  for (const int ranks : {1, 2, 4})
    for (const std::int64_t tokens : {0, 24, 512, 2048}) {
      INFO(tokens << " tokens on " << ranks << " tensor ranks");
      std::vector<double> weight = numbers(kOut * kDim, 1);
      std::vector<std::vector<double>> returned(static_cast<std::size_t>(ranks));
      testing::RankChecks checks;
      run_local_ranks(ranks, [&](Communicator& world) {
        Machine m;
        TensorRegion region(world);
        const std::int64_t mine = region.shard_tokens(tokens);
        std::vector<double> shard = numbers(mine * kDim, world.rank()),
                            out(static_cast<std::size_t>(tokens * kOut));
        std::vector<double> whole(static_cast<std::size_t>(tokens * kDim)), product = out;
        const Tensor x = matrix(shard, kDim), y = matrix(out, kOut);
        const Tensor full = ranks == 1 ? x : matrix(whole, kDim);
        region.gather_matmul(
            m.exec,
            {.product = Product::nt, .shard = x, .weight = matrix(weight, kDim), .full = full, .out = y});
        ops::matmul(
            m.exec,
            {.product = Product::nt, .a = full, .b = matrix(weight, kDim), .out = matrix(product, kOut)});
        checks.that(out == product, "the product beside a gather");
        // Every rank's partial is the same product: the sum is `ranks` times this rank's tokens of it.
        std::vector<double>& sum = returned[static_cast<std::size_t>(world.rank())];
        sum.resize(static_cast<std::size_t>(mine * kDim));
        int meanwhile = 0;
        region.matmul_scatter(
            m.exec,
            {.product = Product::nn, .in = y, .weight = matrix(weight, kDim), .shard = matrix(sum, kDim)},
            [&] { ++meanwhile; });
        checks.that(meanwhile == 1, "meanwhile runs once");
        std::vector<double> expected(static_cast<std::size_t>(tokens * kDim)), again = expected;
        ops::matmul(
            m.exec,
            {.product = Product::nn, .a = y, .b = matrix(weight, kDim), .out = matrix(expected, kDim)});
        if (ranks > 1) {
          region.gather(m.exec, matrix(sum, kDim), matrix(again, kDim));
          for (std::size_t i = 0; i < again.size(); ++i)
            checks.that(std::abs(again[i] - ranks * expected[i]) < 1e-12, "the sum of a scatter");
        } else {
          checks.that(sum == expected, "the product of a rank alone");
        }
      });
      CHECK(checks.first_failure() == "");
    }
}

TEST_CASE("keys and values of all context ranks come in document order, and their gradients go home") {
  constexpr std::int64_t kTokens = 5, kHeads = 4, kSize = 2;
  for (const int ranks : {1, 2, 3}) {
    testing::RankChecks checks;
    run_local_ranks(ranks, [&](Communicator& world) {
      Machine m;
      ContextRegion region(world);
      const std::int64_t all = kTokens * ranks, width = kHeads * kSize;
      // Document order deals the tokens out by turns: the i-th is the (i / ranks)-th of rank i % ranks.
      std::vector<std::int32_t> order(static_cast<std::size_t>(all)), inverse = order;
      for (std::int64_t i = 0; i < all; ++i) {
        order[static_cast<std::size_t>(i)] = static_cast<std::int32_t>(i % ranks * kTokens + i / ranks);
        inverse[static_cast<std::size_t>(order[static_cast<std::size_t>(i)])] = static_cast<std::int32_t>(i);
      }
      const auto ids = [](std::vector<std::int32_t>& x) {
        return Tensor::of(x.data(), {static_cast<std::int64_t>(x.size())});
      };
      const KeyOrder keys =
          ranks == 1 ? KeyOrder{} : KeyOrder{.key_order = ids(order), .gathered_order = ids(inverse)};
      const auto k_of = [](std::int64_t key, std::int64_t column) {
        return static_cast<double>(100 * key + column);
      };
      std::vector<double> k(static_cast<std::size_t>(kTokens * width)), v = k;
      for (std::int64_t i = 0; i < kTokens; ++i)
        for (std::int64_t c = 0; c < width; ++c) {
          k[static_cast<std::size_t>(i * width + c)] = k_of(i * ranks + world.rank(), c);
          v[static_cast<std::size_t>(i * width + c)] = -k_of(i * ranks + world.rank(), c);
        }
      const auto heads = [&](std::vector<double>& x) {
        return Tensor::of(x.data(), {kTokens, kHeads, kSize});
      };
      auto gathering = region.start_gather(m.exec, heads(k), heads(v));
      const int groups = region.groups(kHeads);
      checks.that(groups == (ranks == 1 ? 1 : 4), "groups");
      const std::int64_t per_group = kHeads / groups;
      for (int group = 0; group < groups; ++group) {
        const auto [gk, gv] = region.finish_gather(m.exec, gathering, group, keys);
        checks.that(gk.dims[0] == all, "keys of all ranks");
        checks.that(gk.dims[1] == per_group, "heads of a group");
        const Tensor gradients = m.scratch.take(DType::float64, {all, 2 * per_group, kSize});
        for (std::int64_t key = 0; key < all; ++key)
          for (std::int64_t c = 0; c < per_group * kSize; ++c) {
            checks.that(gk.as<double>()[key * gk.strides[0] + c] == k_of(key, group * per_group * kSize + c),
                        "keys in document order");
            checks.that(gv.as<double>()[key * gv.strides[0] + c] == -k_of(key, group * per_group * kSize + c),
                        "values in document order");
            gradients.as<double>()[key * 2 * per_group * kSize + c] = k_of(key, c) * (world.rank() + 1);
            gradients.as<double>()[(key * 2 + 1) * per_group * kSize + c] = 1;
          }
        auto scattering = region.start_scatter(m.exec, gradients, keys);
        scattering.pending.wait(m.exec);
        const double factor = ranks * (ranks + 1) / 2.0;  // the sum of all ranks' (rank + 1)
        for (std::int64_t i = 0; i < kTokens; ++i)
          for (std::int64_t c = 0; c < per_group * kSize; ++c) {
            const double* row = scattering.local.as<double>() + i * 2 * per_group * kSize;
            checks.that(row[c] == factor * k_of(i * ranks + world.rank(), c), "gradients of keys");
            checks.that(row[per_group * kSize + c] == ranks, "gradients of values");
          }
      }
    });
    CHECK(checks.first_failure() == "");
  }
}

}  // namespace drover
