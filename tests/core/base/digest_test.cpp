#include "core/base/digest.h"

#include "tests/support/test_support.h"

namespace drover {
namespace {

TEST_CASE("digests are those of xxhsum -H128") {
  CHECK(hex(digest_of(std::string_view())) == "99aa06d3014798d86001c324468d497f");
  CHECK(hex(digest_of("drover\n")) == "ca506c8d5721f69696953fedf080718a");
  CHECK(hex(digest_of(std::string(1000, 'a'))) == "b01da365eddaa29cb3e7af627147db7c");
}

TEST_CASE("a stream's digest does not depend on how the bytes were cut") {
  std::string text;
  for (int i = 0; i < 1000; ++i) text += std::to_string(i * i);
  for (const std::size_t cut : {1u, 17u, 256u, 1024u}) {
    DigestStream stream;
    for (std::size_t i = 0; i < text.size(); i += cut)
      stream.add(std::as_bytes(std::span(text).subspan(i, std::min(cut, text.size() - i))));
    CHECK(stream.value() == digest_of(text));
  }
}

TEST_CASE("a restarted stream forgets") {
  DigestStream stream;
  stream.add(std::as_bytes(std::span("abc")));
  stream.restart();
  CHECK(stream.value() == digest_of(std::string_view()));
}

TEST_CASE("only 32 lower-case digits are a digest") {
  const std::string good = "99aa06d3014798d86001c324468d497f";
  CHECK(digest_from_hex(good).has_value());
  CHECK_FALSE(digest_from_hex(good.substr(1)).has_value());
  CHECK_FALSE(digest_from_hex("99AA06d3014798d86001c324468d497f").has_value());
  CHECK_FALSE(digest_from_hex(" 9aa06d3014798d86001c324468d497f").has_value());
  CHECK_FALSE(digest_from_hex("-9aa06d3014798d86001c324468d497f").has_value());
}

}  // namespace
}  // namespace drover
