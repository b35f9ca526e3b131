#include "checkpoint/format/table.h"

#include <algorithm>
#include <limits>

#include "core/base/error.h"

namespace drover {
namespace {

constexpr std::size_t kDigestBytes = 16;
constexpr std::size_t kLeastPieceBytes = 2;  // the tensor with the box of the piece before, and the gap

// Non-negative numbers in groups of seven bits, the lowest first; all but the last group have the eighth bit set
// (LEB128).
void put(std::string& text, std::uint64_t number) {
  for (; number >= 128; number >>= 7) text += static_cast<char>(number % 128 + 128);
  text += static_cast<char>(number);
}
void put(std::string& text, std::int64_t number) { put(text, static_cast<std::uint64_t>(number)); }

void put(std::string& text, const Digest& digest) {
  for (const std::uint64_t half : {digest.high, digest.low})
    for (int shift = 56; shift >= 0; shift -= 8) text += static_cast<char>(half >> shift & 255);
}

// 0, -1, 1, -2, 2 ... as 0, 1, 2, 3, 4 ...
std::uint64_t folded(std::int64_t difference) {
  return difference < 0 ? 2 * static_cast<std::uint64_t>(-(difference + 1)) + 1
                        : 2 * static_cast<std::uint64_t>(difference);
}
std::int64_t unfolded(std::int64_t number) { return number % 2 == 0 ? number / 2 : -(number / 2) - 1; }

// The bytes of a table, read from the front.
class Bytes {
 public:
  Bytes(std::string_view bytes, const std::filesystem::path& path) : left_(bytes), path_(path) {}

  bool empty() const { return left_.empty(); }
  std::size_t left() const { return left_.size(); }
  std::int64_t number(const char* what, std::int64_t low, std::int64_t high) {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 63; shift += 7) {
      if (left_.empty()) throw bad(what);
      const auto byte = static_cast<std::uint8_t>(left_.front());
      left_.remove_prefix(1);
      value |= std::uint64_t{byte % 128u} << shift;
      if (byte >= 128) continue;
      const auto number = static_cast<std::int64_t>(value);
      if (number < low || number > high) throw bad(what);
      return number;
    }
    throw bad(what);
  }
  Digest digest() {
    Digest digest;
    for (std::uint64_t* half : {&digest.high, &digest.low})
      for (int i = 0; i < 8; ++i, left_.remove_prefix(1))
        *half = *half << 8 | static_cast<std::uint8_t>(left_.front());
    return digest;
  }
  Error bad(const char* what) const {
    return input_error(path_.string(), ": ", what,
                       " is missing or has a value that cannot be; restore the checkpoint, or use another");
  }

 private:
  std::string_view left_;
  const std::filesystem::path& path_;
};

Box read_box(Bytes& from) {
  Box box;
  for (auto* pair : {&box.offset, &box.extent})
    for (std::int64_t& number : *pair) number = from.number("a box", 0, kMaxStoredBytes);
  return box;
}

// The piece that follows `last`, which ends at `end` of the file; at the beginning, one of tensor 0 without a box.
StoredPiece read_piece(Bytes& from, std::span<const StoredTensor> tensors, const StoredPiece& last,
                       std::int64_t end, std::int64_t file_bytes) {
  const std::int64_t code = from.number("a tensor", 0, std::int64_t{1} << 40);
  const std::int64_t tensor = last.tensor + unfolded(code / 2);
  if (tensor < 0 || tensor >= std::ssize(tensors)) throw from.bad("a tensor");
  StoredPiece piece{.tensor = static_cast<int>(tensor), .box = last.box};
  const StoredTensor& of = tensors[static_cast<std::size_t>(tensor)];
  if (code % 2 == 0) piece.box = read_box(from);
  if (intersect(piece.box, of.whole()) != piece.box || piece.box.empty()) throw from.bad("a box");
  const std::int64_t bytes = piece.box.numel() * size_of(of.dtype);
  piece.offset = end + from.number("a gap", 0, file_bytes);
  if (piece.offset > file_bytes - bytes) throw from.bad("a gap");
  return piece;
}

StoredFile read_file(Bytes& from, std::span<const StoredTensor> tensors, std::int64_t least_rank) {
  StoredFile file{.rank = from.number("a rank", least_rank, std::numeric_limits<int>::max()),
                  .bytes = from.number("a file's size", 0, kMaxStoredBytes)};
  const auto most = static_cast<std::int64_t>(from.left() / kLeastPieceBytes);
  file.pieces.resize(
      static_cast<std::size_t>(from.number("the number of pieces", 0, std::min(kMaxFilePieces, most))));
  StoredPiece last{.box = {.offset = {0, 0}, .extent = {0, 0}}};
  std::int64_t end = 0;
  for (StoredPiece& piece : file.pieces) {
    last = piece = read_piece(from, tensors, last, end, file.bytes);
    end = piece.offset + piece.box.numel() * size_of(tensors[static_cast<std::size_t>(piece.tensor)].dtype);
  }
  const auto extents = static_cast<std::size_t>(extents_of(file.bytes));
  if (extents > from.left() / kDigestBytes) throw from.bad("a digest");
  for (std::size_t i = 0; i < extents; ++i) file.extents.push_back(from.digest());
  return file;
}

}  // namespace

std::string file_text(const StoredFile& file, std::span<const StoredTensor> tensors) {
  std::vector<StoredPiece> pieces = file.pieces;
  std::sort(pieces.begin(), pieces.end(),
            [](const StoredPiece& a, const StoredPiece& b) { return a.offset < b.offset; });
  std::string text;
  put(text, file.rank);
  put(text, file.bytes);
  put(text, std::ssize(pieces));
  StoredPiece last{.box = {.offset = {0, 0}, .extent = {0, 0}}};
  std::int64_t end = 0;
  for (const StoredPiece& piece : pieces) {
    const bool same_box = piece.box == last.box;
    put(text, 2 * folded(piece.tensor - last.tensor) + (same_box ? 1 : 0));
    if (!same_box)
      for (const std::int64_t number :
           {piece.box.offset[0], piece.box.offset[1], piece.box.extent[0], piece.box.extent[1]})
        put(text, number);
    put(text, piece.offset - end);
    end = piece.offset + piece.box.numel() * size_of(tensors[static_cast<std::size_t>(piece.tensor)].dtype);
    last = piece;
  }
  for (const Digest& digest : file.extents) put(text, digest);
  return text;
}

void for_each_file(std::string_view table, std::span<const StoredTensor> tensors,
                   const std::filesystem::path& path, FunctionRef<void(const StoredFile&)> use) {
  Bytes from(table, path);
  std::int64_t least_rank = 0;
  while (!from.empty()) {
    const StoredFile file = read_file(from, tensors, least_rank);
    least_rank = file.rank + 1;
    use(file);
  }
}

}  // namespace drover
