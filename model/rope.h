// Rotary position tables.
#pragma once

#include <vector>

#include "core/tensor/memory.h"
#include "model/config.h"

namespace drover {

// The E/2 angular frequencies theta^(-2i/E) (Su et al. 2021, section 3.2.2), with Llama 3.1's scaling when
// the configuration asks for it. With wavelength w = 2 pi / frequency and original length T0: unchanged for w
// < T0 / high_freq_factor; divided by `factor` for w > T0 / low_freq_factor; between them interpolated
// linearly in T0 / w.
std::vector<double> rope_frequencies(const ModelConfig& config);

// cos and sin of position x frequency, computed in double and rounded once.
class RopeTable {
 public:
  RopeTable(Memory& memory, const ModelConfig& config, std::int64_t positions, DType master);

  const Tensor& cosine() const { return cosine_; }  // [positions, E/2] master
  const Tensor& sine() const { return sine_; }

 private:
  Buffer buffer_;
  Tensor cosine_, sine_;
};

}  // namespace drover
