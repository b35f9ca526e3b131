// A token store on disk, memory-mapped: tokens, where documents start, how many bytes of text each had.
// Format: docs/token_store.md.
//
// The file is untrusted. Opening it checks structure, sizes, the digest of the config and the tables of digests, 16
// bytes for each 4 MiB; every read checks its bounds, its ids and, once an extent, the digests of what it touches;
// verify() checks every digest.
// Thread rules: everything is const and may be called from any threads at once.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

#include "core/files/filesystem.h"
#include "core/files/hdf5.h"
#include "data/store/dataset.h"
#include "data/store/format.h"
#include "data/store/source.h"

namespace drover {

class TokenStore final : public TokenSource {
 public:
  // Error{input} names the file and what does not fit.
  TokenStore(FileSystem& files, const std::filesystem::path& path);
  TokenStore(const TokenStore&) = delete;
  TokenStore& operator=(const TokenStore&) = delete;

  // "store-" and the digest of the config, which covers all content: the same wherever the file is.
  const std::string& name() const override { return name_; }
  std::int64_t document_count() const override { return config_.documents; }
  // Error{input}: the stored offset lies outside of the tokens, or its extent is damaged.
  std::int64_t offset(std::int64_t document) const override;
  // Error{input}: an id outside of the vocabulary, or a damaged extent.
  void read(std::int64_t begin, std::span<std::int32_t> out) const override;
  std::int64_t vocab_size() const override { return config_.vocab_size; }
  const std::string& tokenizer_digest() const override { return config_.tokenizer_digest; }
  std::int64_t text_bytes() const override { return config_.text_bytes; }

  std::int64_t text_bytes_of(std::int64_t document) const;
  const StoreConfig& config() const { return config_; }
  std::string where() const override { return path(); }
  std::string path() const { return hdf5_.file().path().string(); }

  // Reads the whole file once, 4 MiB at a time. Error{input} names the first damaged dataset and byte range,
  // or the document whose offset decreases, or what does not add up.
  void verify() const;

 private:
  StoreConfig read_config();
  void check_attributes() const;
  std::string read_whole(const Hdf5Dataset& dataset, std::int64_t limit) const;
  void verify_tokens() const;
  void verify_offsets() const;
  void verify_text_bytes() const;
  void check_ids(std::int64_t begin, std::span<const std::int32_t> ids) const;

  Hdf5File hdf5_;
  std::string name_;  // before config_: set where that is read
  StoreConfig config_;
  FileView view_;
  StoreDataset tokens_, offsets_, text_bytes_;  // in view_
};

}  // namespace drover
