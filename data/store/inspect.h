// What a token store holds, for people: `drover data inspect`.
#pragma once

#include <filesystem>
#include <string>

#include "core/files/filesystem.h"
#include "data/tokenizer/tokenizer.h"

namespace drover {

struct InspectStore {
  std::filesystem::path path;
  const Tokenizer* tokenizer = nullptr;  // may be null; to decode the first tokens
  bool verify = false;                   // read everything and check every digest first
};

// Summary, document lengths as a histogram (of a sample, where there are above a million), the first tokens.
// Error{input}: what TokenStore throws, or a tokenizer that did not make the store.
std::string inspect_store(FileSystem& files, const InspectStore& options);

}  // namespace drover
