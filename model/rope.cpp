#include "model/rope.h"

#include <cmath>
#include <numbers>

namespace drover {

namespace {

double scaled(double frequency, const RopeScaling& scaling) {
  const double turns =
      static_cast<double>(scaling.original_max_position_embeddings) * frequency / (2 * std::numbers::pi);
  if (turns > scaling.high_freq_factor) return frequency;
  if (turns < scaling.low_freq_factor) return frequency / scaling.factor;
  const double smooth =
      (turns - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor);
  return (1 - smooth) * frequency / scaling.factor + smooth * frequency;
}

template <class T>
void fill_tables(const std::vector<double>& frequencies, const Tensor& cosine, const Tensor& sine) {
  T* cos_out = cosine.as<T>();
  T* sin_out = sine.as<T>();
  for (std::int64_t position = 0; position < cosine.dims[0]; ++position) {
    for (double frequency : frequencies) {
      const double angle = static_cast<double>(position) * frequency;
      *cos_out++ = static_cast<T>(std::cos(angle));
      *sin_out++ = static_cast<T>(std::sin(angle));
    }
  }
}

}  // namespace

std::vector<double> rope_frequencies(const ModelConfig& config) {
  std::vector<double> frequencies;
  const std::int64_t dim = config.head_size();
  for (std::int64_t i = 0; i < dim / 2; ++i) {
    const double frequency =
        std::pow(config.rope_theta, -2.0 * static_cast<double>(i) / static_cast<double>(dim));
    frequencies.push_back(config.rope_scaling ? scaled(frequency, *config.rope_scaling) : frequency);
  }
  return frequencies;
}

RopeTable::RopeTable(Memory& memory, const ModelConfig& config, std::int64_t positions, DType master) {
  const std::int64_t half = config.head_size() / 2, bytes = positions * half * size_of(master);
  buffer_ = Buffer(memory, 2 * bytes, MemoryCategory::weights);
  cosine_ = buffer_.tensor(master, {positions, half});
  sine_ = buffer_.tensor(master, {positions, half}, bytes);
  if (memory.shapes_only()) return;
  const std::vector<double> frequencies = rope_frequencies(config);
  if (master == DType::float64)
    fill_tables<double>(frequencies, cosine_, sine_);
  else
    fill_tables<float>(frequencies, cosine_, sine_);
}

}  // namespace drover
