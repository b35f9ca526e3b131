// A source made of a formula: ragged documents with something to learn, for configs/tiny.yaml, tests and
// benchmarks. O(1) memory at any size.
//
// Lengths: log-normal, rounded and clipped to [1, max_length]; one in 64 documents has exactly one token. The
// lengths of a block of 4096 documents are drawn from the seed; every block has them again, rotated by a
// random amount. Tokens: within a document each token is, with probability 7/8, a fixed function of the one
// before, next = (5 x previous + 17) mod R with R = max(vocab_size / 4, 1), otherwise uniform over the
// vocabulary. So a model first learns that small ids are common, then the function.
#pragma once

#include <vector>

#include "data/store/source.h"

namespace drover {

struct SyntheticOptions {
  std::string name = "synthetic";
  std::uint64_t seed = 0;
  std::int64_t documents = 4096;   // >= 1
  std::int64_t vocab_size = 256;   // >= 2
  double median_length = 100;      // tokens
  double sigma = 1.0;              // of the logarithm of the length
  std::int64_t max_length = 2048;  // tokens
};

class SyntheticSource final : public TokenSource {
 public:
  // Throws Error{usage} naming the option that is out of range.
  explicit SyntheticSource(const SyntheticOptions& options);

  const std::string& name() const override { return options_.name; }
  std::int64_t document_count() const override { return options_.documents; }
  std::int64_t offset(std::int64_t document) const override;
  void read(std::int64_t begin, std::span<std::int32_t> out) const override;
  std::int64_t vocab_size() const override { return options_.vocab_size; }
  const std::string& tokenizer_digest() const override { return digest_; }  // "synthetic vocab_size=256"
  std::int64_t text_bytes() const override { return total_tokens(); }       // by decree: one byte a token

 private:
  static constexpr std::int64_t kBlock = 4096;  // documents
  std::int64_t rotation(std::int64_t block) const;
  std::int64_t document_at(std::int64_t token) const;
  bool starts_afresh(std::int64_t token, std::int64_t document_begin) const;
  std::uint64_t token_bits(std::int64_t token) const;
  std::int32_t fresh_token(std::int64_t token) const;
  std::int32_t following_token(std::int32_t token) const;

  SyntheticOptions options_;
  std::string digest_;
  std::uint64_t token_key_, rotation_key_;
  std::vector<std::int64_t> starts_;  // of the unrotated block's documents; kBlock + 1
};

}  // namespace drover
