#include "model/initialise.h"

#include "core/base/rng.h"
#include "core/ops/ops.h"

namespace drover {

namespace {

template <class T>
void draw(const ParameterLayout& parameter, const Box& box, std::uint64_t seed, T* out) {
  const std::uint64_t key = key_of(parameter.name);
  for (std::int64_t row = box.offset[0]; row < box.offset[0] + box.extent[0]; ++row)
    for (std::int64_t col = box.offset[1]; col < box.offset[1] + box.extent[1]; ++col) {
      const auto index = static_cast<std::uint64_t>(row * parameter.shape[1] + col);
      *out++ = parameter.init == Init::ones
                   ? T(1)
                   : static_cast<T>(parameter.init_stddev * random_normal(seed, key, index));
    }
}

}  // namespace

void initialise(const Exec& exec, const ParameterTable& table, ParameterGroups& groups, std::uint64_t seed) {
  for (int g = 0; g < groups.count(); ++g) {
    const GroupShard& shard = groups.shard(g);
    for (const Tensor& state : {shard.master, shard.moment1, shard.moment2, shard.gradient})
      ops::fill(exec, {.out = state, .value = 0});
    for (const FlatBox& piece :
         boxes_of_range(groups.layout(g), shard.begin, shard.begin + shard.master.dims[0])) {
      const ParameterLayout& parameter = table[static_cast<std::size_t>(piece.parameter)];
      const Tensor out = shard.master.slice(0, piece.offset, piece.offset + piece.box.numel());
      if (out.data == nullptr) continue;  // shapes only
      if (out.dtype == DType::float64)
        draw(parameter, piece.box, seed, out.as<double>());
      else
        draw(parameter, piece.box, seed, out.as<float>());
    }
  }
  refresh_working(exec, groups);
}

void refresh_working(const Exec& exec, ParameterGroups& groups) {
  for (int g = 0; g < groups.count(); ++g)
    ops::copy(exec, {.in = groups.shard(g).master, .out = groups.shard(g).working});
  groups.weights_updated(exec);
}

}  // namespace drover
