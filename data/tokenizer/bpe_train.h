// Trains a byte-level BPE vocabulary: the pair that occurs most often becomes a token, again and again
// (Sennrich, Haddow, Birch 2016, https://arxiv.org/abs/1508.07909).
//
// The result equals what `tokenizers`' BpeTrainer learns from the same text with the same split, an initial
// alphabet of 256 bytes and min_frequency 0: among pairs of equal count the one with the lower ids wins. It
// does not depend on the number of threads or the order of documents.
//
// Ids: the 256 bytes in the order of GPT-2's printable alphabet ('!' is 0), then merges as learned, then the
// special tokens last, as in Llama 3; that is what `tokenizer.train(...)` followed by
// `tokenizer.add_special_tokens(...)` gives.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/base/function_ref.h"
#include "data/tokenizer/tokenizer.h"

namespace drover {

struct TrainBpe {
  std::int64_t vocab_size = 8192;  // special tokens included; fewer when the text has no more pairs to merge
  std::string pattern = kLlama3Pattern;
  std::vector<std::string> specials = {"<|begin_of_text|>", "<|end_of_text|>"};
  int threads = 1;  // for counting words
};

// `next_document` overwrites its argument with one document and returns true, or returns false at the end. It
// is called from the counting threads, never by two at once. Memory: the distinct pieces of the text, and one
// document per thread.
Tokenizer train_bpe(const TrainBpe& options, FunctionRef<bool(std::string& document)> next_document);

}  // namespace drover
