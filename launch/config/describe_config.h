// The one description of all settings: what reads, writes and documents them visits this.
#pragma once

#include "core/config/config.h"
#include "train/config.h"

namespace drover {

void describe(Fields& fields, Config& config);

}  // namespace drover
