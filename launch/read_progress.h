// The live line of `drover data prepare` and `train-tokenizer`.
#pragma once

#include <string>

#include "data/prepare.h"

namespace drover {

// "41 %  1230 MB of 3000 MB  52000 documents  310.2 M tokens  24.1 MB/s  1m 13s left"; what isn't known, or is
// not counted yet, is left out.
std::string progress_line(const ReadProgress& progress);

}  // namespace drover
