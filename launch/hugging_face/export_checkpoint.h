// `drover checkpoint export`: a checkpoint as a folder that Transformers loads.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "checkpoint/safetensors/float_bits.h"
#include "launch/process/one_rank.h"

namespace drover {

struct ExportRequest {
  std::filesystem::path checkpoint;  // a step's directory, of any layout
  std::filesystem::path out;         // a new folder
  std::string tokenizer;             // instead of the configuration's
  WeightFormat format = WeightFormat::float32;
  std::int64_t shard_bytes = 50'000'000'000;
  std::optional<std::int64_t> max_positions;  // none: the longest row trained on, or what RoPE was scaled to
};

// Writes the folder under OUT.partial and renames it. Every byte read is checked; memory stays bounded whatever the
// model's size. Returns what to tell the user. Error{input}: a damaged checkpoint, a tokenizer that does not fit, a disk
// that is too small; Error{usage}: an option that cannot be, weights beyond the format, `out` exists.
std::string export_hugging_face(OneRank& rank, const ExportRequest& request);

}  // namespace drover
