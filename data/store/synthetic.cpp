#include "data/store/synthetic.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/base/error.h"
#include "core/base/permutation.h"

namespace drover {
namespace {

constexpr std::uint64_t kFreshOneIn = 8;    // tokens
constexpr std::uint64_t kSingleOneIn = 64;  // documents

// In (0, 1).
double uniform(std::uint64_t bits) { return (static_cast<double>(bits >> 11) + 0.5) * 0x1p-53; }

std::int64_t drawn_length(const SyntheticOptions& options, std::uint64_t key) {
  if (mix_key(key, "single") % kSingleOneIn == 0) return 1;
  const double radius = std::sqrt(-2 * std::log(uniform(mix_key(key, "radius"))));
  const double normal = radius * std::cos(2 * std::numbers::pi * uniform(mix_key(key, "angle")));
  const double length = std::round(options.median_length * std::exp(options.sigma * normal));
  return static_cast<std::int64_t>(std::clamp(length, 1.0, static_cast<double>(options.max_length)));
}

void check(const SyntheticOptions& options) {
  const auto require = [](bool good, const char* option, auto value) {
    if (!good) throw usage_error("data.synthetic.", option, " is ", value, ", which is out of range");
  };
  require(options.documents >= 1, "documents", options.documents);
  require(options.vocab_size >= 2 && options.vocab_size < (std::int64_t{1} << 31), "vocab_size",
          options.vocab_size);
  require(std::isfinite(options.median_length) && options.median_length > 0, "median_length",
          options.median_length);
  require(std::isfinite(options.sigma) && options.sigma >= 0, "sigma", options.sigma);
  require(options.max_length >= 1 && options.max_length < (std::int64_t{1} << 31), "max_length",
          options.max_length);
  constexpr std::int64_t kMostTokens = std::int64_t{1} << 60;  // of an epoch
  require(options.documents <= kMostTokens / options.max_length, "documents", options.documents);
}

}  // namespace

SyntheticSource::SyntheticSource(const SyntheticOptions& options)
    : options_(options),
      digest_(cat("synthetic vocab_size=", options.vocab_size)),
      token_key_(mix_key(options.seed, "tokens")),
      rotation_key_(mix_key(options.seed, "rotations")) {
  check(options);
  const std::uint64_t length_key = mix_key(options.seed, "lengths");
  starts_.assign(1, 0);
  for (std::int64_t i = 0; i < kBlock; ++i) {
    starts_.push_back(starts_.back() +
                      drawn_length(options, mix_key(length_key, static_cast<std::uint64_t>(i))));
  }
}

std::int64_t SyntheticSource::rotation(std::int64_t block) const {
  return static_cast<std::int64_t>(mix_key(rotation_key_, static_cast<std::uint64_t>(block)) % kBlock);
}

std::int64_t SyntheticSource::offset(std::int64_t document) const {
  const std::int64_t block = document / kBlock, shift = rotation(block);
  const std::int64_t place = document % kBlock + shift;
  const std::int64_t wrapped = place < kBlock ? starts_[place] : starts_[place - kBlock] + starts_.back();
  return block * starts_.back() + wrapped - starts_[shift];
}

std::int64_t SyntheticSource::document_at(std::int64_t token) const {
  const std::int64_t block = token / starts_.back(), shift = rotation(block);
  const std::int64_t wrapped = (token % starts_.back() + starts_[shift]) % starts_.back();
  const std::int64_t place = std::upper_bound(starts_.begin(), starts_.end(), wrapped) - starts_.begin() - 1;
  return block * kBlock + (place - shift + kBlock) % kBlock;
}

std::uint64_t SyntheticSource::token_bits(std::int64_t token) const {
  return mix_key(token_key_, static_cast<std::uint64_t>(token));
}

bool SyntheticSource::starts_afresh(std::int64_t token, std::int64_t document_begin) const {
  return token == document_begin || token_bits(token) % kFreshOneIn == 0;
}

std::int32_t SyntheticSource::fresh_token(std::int64_t token) const {
  return static_cast<std::int32_t>(
      (token_bits(token) >> 32) * static_cast<std::uint64_t>(options_.vocab_size) >> 32);
}

std::int32_t SyntheticSource::following_token(std::int32_t token) const {
  const std::int64_t range = std::max<std::int64_t>(1, options_.vocab_size / 4);
  return static_cast<std::int32_t>((5 * std::int64_t{token} + 17) % range);
}

void SyntheticSource::read(std::int64_t begin, std::span<std::int32_t> out) const {
  const std::int64_t end = begin + static_cast<std::int64_t>(out.size());
  DROVER_CHECK(begin >= 0 && end <= total_tokens(), "tokens [", begin, ", ", end, ") of ", total_tokens());
  if (out.empty()) return;
  std::int64_t document = document_at(begin);
  std::int64_t document_begin = offset(document), document_end = offset(document + 1);
  // A token follows from the ones before it, back to the last that starts afresh: 8 of them on average.
  std::int64_t token = begin;
  while (!starts_afresh(token, document_begin)) --token;
  for (std::int32_t value = 0; token < end; ++token) {
    if (token == document_end) {
      document_begin = document_end;
      document_end = offset(++document + 1);
    }
    value = starts_afresh(token, document_begin) ? fresh_token(token) : following_token(value);
    if (token >= begin) out[token - begin] = value;
  }
}

}  // namespace drover
