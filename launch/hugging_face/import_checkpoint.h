// `drover checkpoint import`: a Llama of Transformers as a run that has not begun.
#pragma once

#include <filesystem>
#include <string>

#include "launch/process/one_rank.h"

namespace drover {

struct ImportRequest {
  std::filesystem::path from;  // a folder with config.json and safetensors
  std::filesystem::path out;   // a new run directory
};

// Writes OUT/checkpoints/attempt_0/step_0000000000 (the weights as float32 masters, moments of zero), OUT/model.yaml
// (to be another file's `base`) and, if there is one that Drover reads, OUT/tokenizer.json. OUT appears when all is
// there. Memory stays bounded whatever the model's size; moments are holes of the file. Returns what to tell the user.
// Error{input}: damaged files, or a model that Drover does not have; Error{usage}: `out` exists, the disk is too small.
std::string import_hugging_face(OneRank& rank, const ImportRequest& request);

}  // namespace drover
