// The tokenizer that goes with a checkpoint's weights. Ids mean nothing under another one, whatever its size.
#pragma once

#include <string>

#include "checkpoint/format/state.h"
#include "data/store/source.h"
#include "data/tokenizer/tokenizer.h"
#include "model/config.h"

namespace drover {

// Reads the tokenizer at `path`. Error{input} when it has more tokens than `model`, or is not the one that `state`
// knows (RunState::tokenizer).
Tokenizer load_tokenizer_of(const RunState& state, const ModelConfig& model, const std::string& path);

// Error{input} when another tokenizer than the one that `state` knows made the hold-out at `path`.
void check_holdout_of(const RunState& state, const TokenSource& holdout, const std::string& path);

}  // namespace drover
