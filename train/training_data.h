// Where this rank's tokens come from: the sources of the configuration, the loader that makes steps of them, and the
// hold-out.
#pragma once

#include <memory>
#include <vector>

#include "core/files/filesystem.h"
#include "data/batch/holdout.h"
#include "data/batch/loader.h"
#include "train/config.h"

namespace drover {

// Members are in order of construction; later ones refer to earlier ones.
struct TrainingData {
  std::vector<std::unique_ptr<TokenSource>> sources;  // in config order; none for inference
  std::unique_ptr<TokenSource> holdout_source;        // null when the configuration names none
  std::unique_ptr<Loader> loader;                     // null for inference
  std::unique_ptr<Holdout> holdout;                   // null without its source
};

// Error{usage} for sources that cannot be meant, as far as no file is needed.
void check_sources(const DataConfig& data);
// The sources in config order, opened and checked against the model's vocabulary and each other's tokenizer.
// Error{input} says what to do.
std::vector<std::unique_ptr<TokenSource>> open_sources(const Config& config, FileSystem& files);
// Null where the configuration names none. Checked against the tokenizer of token stores among the `sources`.
std::unique_ptr<TokenSource> open_holdout(const Config& config, FileSystem& files,
                                          const std::vector<std::unique_ptr<TokenSource>>& sources = {});
// Reads the tokenizer that the configuration names, if it names one. Error{input} when it is none, or did not make the
// sources: then what is generated later would be no text.
void check_tokenizer(const Config& config, const std::vector<std::unique_ptr<TokenSource>>& sources);

}  // namespace drover
