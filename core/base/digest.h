// XXH3-128 (xxHash 0.8, default secret, seed 0): the one digest of checkpoints, token stores and weight
// hashes. Finds accidents, not forgeries.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace drover {

struct Digest {
  std::uint64_t high = 0, low = 0;
  bool operator==(const Digest&) const = default;
};

// 32 lower-case digits, high half first, as `xxhsum -H128` prints it.
std::string hex(const Digest& digest);
// None unless exactly 32 lower-case digits.
std::optional<Digest> digest_from_hex(std::string_view text);

Digest digest_of(std::span<const std::byte> bytes);
inline Digest digest_of(std::string_view text) { return digest_of(std::as_bytes(std::span(text))); }

// The digest of all that was added, in order, however it was cut. Movable; one thread at a time.
class DigestStream {
 public:
  DigestStream();
  ~DigestStream();
  DigestStream(DigestStream&&) noexcept;
  DigestStream& operator=(DigestStream&&) noexcept;

  void add(std::span<const std::byte> bytes);
  Digest value() const;  // of what was added so far
  void restart();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace drover
