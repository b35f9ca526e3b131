// The files beside make.py, for tokenizer_test.cpp and bpe_train_test.cpp.
#pragma once

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include "tests/support/test_support.h"

namespace drover {

inline std::string golden_path(const std::string& name) {
  const char* source = std::getenv("DROVER_SOURCE_DIR");
  return std::string(source ? source : ".") + "/tests/data/tokenizer/golden/" + name;
}

inline std::string golden_text(const std::string& name) {
  std::ifstream file(golden_path(name), std::ios::binary);
  INFO("run from the source folder, or set DROVER_SOURCE_DIR: " << golden_path(name));
  REQUIRE(file);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline std::vector<std::string> golden_documents(const std::string& name) {
  const std::string text = golden_text(name), mark = "\n===\n";
  std::vector<std::string> documents;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find(mark, at), text.size());
    documents.push_back(text.substr(at, end - at));
    at = end + mark.size();
  }
  return documents;
}

}  // namespace drover
