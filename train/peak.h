// The machine's product peak as this backend reaches it: what MFU is a share of.
#pragma once

#include "core/ops/exec.h"
#include "core/tensor/dtype.h"

namespace drover {

// FLOP/s of the best of a few square products in the compute dtype, on this rank's threads, all operands in
// cache or near it. Takes about a tenth of a second. Ranks of one host should measure at the same time, as
// they will train.
double measure_product_peak(const Exec& exec, Memory& memory, DType compute);

}  // namespace drover
