// Writes a token store (docs/token_store.md), document by document, in bounded memory.
//
// Protocol: tokens go to PATH.partial as they come, in place; two numbers per document go to
// PATH.partial.documents, because HDF5 wants sizes first; finish() puts all of it into PATH.partial, syncs it
// and removes the other; publish() renames it. Killed before, there is no file PATH, or the old one.
// The bytes depend on the documents, their order and WriteStore alone.
//
// Errors: FileError (full disk, ...) with path and remedy. Destroyed before publish(), it removes what it
// wrote. Thread rules: one thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "core/files/filesystem.h"
#include "data/store/format.h"

namespace drover {

enum class Existing : std::uint8_t { refuse, replace };
// Error{usage} if a file of that name is there and is to be kept.
void refuse_existing(FileSystem& files, const std::filesystem::path& path, Existing existing);
// Error{usage} if `partial`, which a writer gives its final name at the end, is there.
void refuse_unfinished(FileSystem& files, const std::filesystem::path& partial);

struct WriteStore {
  std::filesystem::path path;
  Existing existing = Existing::refuse;  // what publish() does to a file of that name
  std::int64_t vocab_size = 0;
  std::string tokenizer_digest;
  std::optional<std::int32_t> bos, eos;  // recorded; the tokens given to add() contain them
  StorePart part = StorePart::all;
  double holdout_fraction = 0.0;
};

class StoreWriter {
 public:
  // Error{usage} if PATH exists (and is to be refused) or PATH.partial does: another writer's, or one was
  // killed.
  StoreWriter(FileSystem& files, WriteStore options);
  ~StoreWriter();
  StoreWriter(const StoreWriter&) = delete;
  StoreWriter& operator=(const StoreWriter&) = delete;

  // One document: ids in [0, vocab_size), at least one, and the bytes of its text.
  void add(std::span<const std::int32_t> ids, std::int64_t text_bytes);

  std::int64_t documents() const;
  std::int64_t tokens() const;

  // After the last document; all that can fail for want of space. Returns what the store says of itself.
  const StoreConfig& finish();
  void publish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace drover
