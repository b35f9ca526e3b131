// A source whose tokens say where they stand: token i of the source is `base` + i. So what was fed can be
// checked without believing anyone's account of it.
#pragma once

#include <cstdint>
#include <random>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "data/store/source.h"

namespace drover {

class LabelledSource final : public TokenSource {
 public:
  LabelledSource(std::string name, const std::vector<std::int64_t>& lengths, std::int32_t base = 0)
      : name_(std::move(name)), base_(base) {
    for (const std::int64_t length : lengths) offsets_.push_back(offsets_.back() + length);
  }

  const std::string& name() const override { return name_; }
  std::int64_t document_count() const override { return static_cast<std::int64_t>(offsets_.size()) - 1; }
  std::int64_t offset(std::int64_t document) const override { return offsets_.at(document); }
  void read(std::int64_t begin, std::span<std::int32_t> out) const override {
    for (const std::int64_t bad : unreadable) {
      if (begin <= bad && bad < begin + static_cast<std::int64_t>(out.size()))
        throw std::runtime_error("unreadable");
    }
    if (begin < 0 || begin + static_cast<std::int64_t>(out.size()) > total_tokens())
      throw std::out_of_range("read");
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = base_ + static_cast<std::int32_t>(begin + i);
  }
  std::int64_t vocab_size() const override { return base_ + total_tokens(); }
  const std::string& tokenizer_digest() const override { return name_; }
  std::int64_t text_bytes() const override { return 4 * total_tokens(); }

  std::int32_t base() const { return base_; }
  // Whether source token `token` is the last of its document.
  bool ends_document(std::int64_t token) const {
    for (const std::int64_t offset : offsets_) {
      if (offset == token + 1) return true;
    }
    return false;
  }

  std::vector<std::int64_t> unreadable;  // tokens that can't be read

 private:
  std::string name_;
  std::int32_t base_;
  std::vector<std::int64_t> offsets_{0};
};

// Ragged: many of one token, some empty, few long ones.
inline std::vector<std::int64_t> ragged_lengths(int documents, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<std::int64_t> lengths;
  for (int i = 0; i < documents; ++i) {
    const unsigned kind = random() % 10;
    lengths.push_back(kind == 0 ? 0 : kind < 3 ? 1 : kind < 9 ? 2 + random() % 20 : 50 + random() % 100);
  }
  return lengths;
}

}  // namespace drover
