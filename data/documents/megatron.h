// Megatron-LM's indexed data set: NAME.idx says where in NAME.bin the token ids of each document stand.
//
// The index, little-endian: "MMIDIDX\0\0", u64 version 1, u8 type code, u64 sequences S, u64 entries P,
// i32 lengths[S] in tokens, i64 byte offsets[S], i64 documents[P]: document d is the sequences
// documents[d] .. documents[d+1]-1.
#pragma once

#include <cstdint>
#include <string>

#include "core/files/filesystem.h"
#include "data/documents/stream.h"

namespace drover {

class MegatronReader {
 public:
  // `index_path` ends in .idx. Error{input}: a file is missing, or the index does not fit its own size.
  explicit MegatronReader(const std::string& index_path);

  // The ids of the next document, as int32 in native order; too long if that takes more than `bound` bytes.
  // Error{input}: the document points outside of the .bin or holds an id that int32 can't.
  Cut next(std::int64_t bound, std::string& ids);

  std::int64_t consumed() const { return consumed_; }  // bytes of both files that next() has been through

 private:
  template <class Stored>
  Stored index_value(std::int64_t array_at, std::int64_t i) const;
  void append_sequence(std::int64_t sequence, std::int64_t bound, std::string& ids, bool& too_long);

  std::string path_;
  FileView index_, tokens_;
  std::int64_t sequences_ = 0, documents_ = 0;
  int type_code_ = 0;
  std::int64_t lengths_at_ = 0, offsets_at_ = 0, documents_at_ = 0;  // bytes from the start of the index
  std::int64_t next_document_ = 0, consumed_ = 0;
};

}  // namespace drover
