#include "core/base/digest.h"

#include <xxhash.h>

#include <charconv>

#include "core/base/error.h"

namespace drover {
namespace {

Digest digest_from(const XXH128_hash_t& hash) { return {hash.high64, hash.low64}; }

std::optional<std::uint64_t> half_from_hex(std::string_view text) {
  if (text.find_first_not_of("0123456789abcdef") != std::string_view::npos) return std::nullopt;
  std::uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value, 16);
  return value;
}

}  // namespace

std::string hex(const Digest& digest) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text(32, '0');
  for (int i = 0; i < 32; ++i) {
    const std::uint64_t half = i < 16 ? digest.high : digest.low;
    text[static_cast<std::size_t>(i)] = kDigits[(half >> (60 - 4 * (i % 16))) & 15];
  }
  return text;
}

std::optional<Digest> digest_from_hex(std::string_view text) {
  if (text.size() != 32) return std::nullopt;
  const auto high = half_from_hex(text.substr(0, 16)), low = half_from_hex(text.substr(16));
  if (!high || !low) return std::nullopt;
  return Digest{*high, *low};
}

Digest digest_of(std::span<const std::byte> bytes) {
  return digest_from(XXH3_128bits(bytes.data(), bytes.size()));
}

struct DigestStream::State {
  XXH3_state_t* xxh = XXH3_createState();
  ~State() { XXH3_freeState(xxh); }
};

DigestStream::DigestStream() : state_(std::make_unique<State>()) {
  DROVER_CHECK(state_->xxh != nullptr, "no memory for a digest");
  restart();
}
DigestStream::~DigestStream() = default;
DigestStream::DigestStream(DigestStream&&) noexcept = default;
DigestStream& DigestStream::operator=(DigestStream&&) noexcept = default;

void DigestStream::add(std::span<const std::byte> bytes) {
  XXH3_128bits_update(state_->xxh, bytes.data(), bytes.size());
}
Digest DigestStream::value() const { return digest_from(XXH3_128bits_digest(state_->xxh)); }
void DigestStream::restart() { XXH3_128bits_reset(state_->xxh); }

}  // namespace drover
