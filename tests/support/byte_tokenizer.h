// A tokenizer whose ids are the bytes of the text: what `prepare` does with a text can be read off the ids.
#pragma once

#include "data/tokenizer/tokenizer.h"

namespace drover {

inline constexpr std::int32_t kByteBos = 256, kByteEos = 257;

inline Tokenizer byte_tokenizer(std::string_view pattern = kLlama3Pattern) {
  TokenizerSpec spec;
  spec.splits = {{.pattern = std::string(pattern)}};
  for (int byte = 0; byte < 256; ++byte) spec.tokens.push_back(std::string(1, static_cast<char>(byte)));
  spec.tokens.push_back("<|begin_of_text|>");
  spec.tokens.push_back("<|end_of_text|>");
  spec.added = {{kByteBos, "<|begin_of_text|>", true}, {kByteEos, "<|end_of_text|>", true}};
  spec.bos = kByteBos;
  spec.eos = kByteEos;
  return Tokenizer(spec, "byte tokenizer");
}

}  // namespace drover
