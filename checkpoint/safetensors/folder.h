// The weights of a Transformers model: model.safetensors, or shards with model.safetensors.index.json.
#pragma once

#include <filesystem>
#include <string_view>
#include <vector>

#include "checkpoint/format/byte_sink.h"
#include "checkpoint/safetensors/safetensors.h"
#include "core/files/filesystem.h"

namespace drover {

// To read. Opens every shard once and checks that index and shards name the same tensors; symbolic links are
// refused. One thread at a time.
class SafetensorsFolder {
 public:
  // Error{input} naming the file and what to do.
  SafetensorsFolder(FileSystem& files, std::filesystem::path folder);

  struct Tensor {
    SafetensorsTensor tensor;
    std::string file;
  };
  // By name, bytewise.
  const std::vector<Tensor>& tensors() const { return tensors_; }
  // Null if there is none.
  const Tensor* find(std::string_view name) const;
  // All bytes of one of tensors(), in order; pieces are whole elements and at most 4 MiB.
  void read(const Tensor& tensor, ByteSink use) const;

 private:
  void add_file(const std::string& name);
  void add_shards();

  FileSystem& files_;
  std::filesystem::path folder_;
  std::vector<Tensor> tensors_;
};

// Numbers of tensors by shard: in order, a new shard where the next tensor would go beyond `shard_bytes` (one that
// is larger than that is alone).
std::vector<std::vector<std::size_t>> plan_shards(std::span<const SafetensorsTensor> tensors,
                                                  std::int64_t shard_bytes);

// Writes model.safetensors, or model-00001-of-0000N.safetensors ... and the index, into `folder`, and syncs the
// files. `bytes` is asked for each tensor once.
void write_safetensors_folder(FileSystem& files, const std::filesystem::path& folder,
                              std::vector<SafetensorsTensor> tensors, std::int64_t shard_bytes,
                              TensorBytes bytes);

}  // namespace drover
