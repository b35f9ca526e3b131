#include "launch/hugging_face/checkpoint_tokenizer.h"

#include "core/base/error.h"

namespace drover {

namespace {

bool is_another(const RunState& state, const std::string& digest) {
  return !state.tokenizer.empty() && state.tokenizer != digest;
}

}  // namespace

Tokenizer load_tokenizer_of(const RunState& state, const ModelConfig& model, const std::string& path) {
  Tokenizer tokenizer = Tokenizer::load(path);
  if (tokenizer.vocab_size() > model.vocab_size)
    throw input_error(path, " has ", tokenizer.vocab_size(), " tokens, model.vocab_size is ",
                      model.vocab_size, "; take the tokenizer that the run was trained with");
  if (is_another(state, tokenizer.digest()))
    throw input_error(path, " is another tokenizer (", tokenizer.digest(),
                      ") than the one that made what the checkpoint was trained on (", state.tokenizer,
                      "); take that one");
  return tokenizer;
}

void check_holdout_of(const RunState& state, const TokenSource& holdout, const std::string& path) {
  if (is_another(state, holdout.tokenizer_digest()))
    throw input_error(path, " was made with another tokenizer (", holdout.tokenizer_digest(),
                      ") than what the checkpoint was trained on (", state.tokenizer,
                      "); prepare it with that one");
}

}  // namespace drover
