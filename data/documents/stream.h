// Bytes of one input, in order, decompressed on the way. Memory is bounded whatever the input claims.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "data/documents/documents.h"

namespace drover {

class ByteStream {
 public:
  virtual ~ByteStream() = default;

  // The bytes that are read but not yet skipped; more are read when there are none. Empty only at the end.
  // Valid until the next call. At least 3 bytes at the start of an input that has them.
  virtual std::string_view window() = 0;
  virtual void skip(std::size_t count) = 0;  // count <= window().size()

  // Bytes taken from the file, before decompression.
  virtual std::int64_t consumed() const = 0;
};

// Opens a file, or standard input for "-". Data that begins like gzip (RFC 1952) or Zstandard (RFC 8878) is
// decompressed, all members and frames of it; no UTF-8 text begins so. A name that ends in .gz or .zst must
// hold such data; behind .zst it may begin with a skippable frame.
//
// Error{input} names the file: it cannot be opened or read, its compressed data is damaged or cut off, or a
// Zstandard frame wants a window above 128 MiB (zstd --long above 27).
std::unique_ptr<ByteStream> open_stream(const std::string& path, CheckStop check_stop = {});

// How cutting a document from an input went. One that is too long is passed over, as far as its end can be
// told from its bytes.
enum class Cut : std::uint8_t { found, too_long, end };

// The next line without its line feed.
Cut next_line(ByteStream& input, std::int64_t bound, std::string& line);
// All that is left, which may be nothing; Cut::end never.
Cut next_text(ByteStream& input, std::int64_t bound, std::string& text);

// For readers of `bound`: appends unless that makes `out` longer, which sets `too_long`.
void append_bounded(std::string& out, std::string_view piece, std::int64_t bound, bool& too_long);

}  // namespace drover
