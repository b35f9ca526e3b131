// The one YAML file of a run: every section of train/config.h described once, with meaning, unit, default and
// what may change on resume. docs/config.md is generated from it.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "core/config/config.h"
#include "train/config.h"

namespace drover {

struct RunConfig {
  Config config;
  std::vector<ResolvedField> fields;  // every value and where it came from, in the order of description
  std::vector<std::string> warnings;  // settings that were given and have no effect, one sentence each
};

// Reads, resolves (presets, run.dir) and checks everything that can be checked without opening another file
// or knowing the number of ranks. Error{usage} begins with the place of the setting. Legal here and refused
// by build_training: layouts that cannot be run yet.
RunConfig read_run_config(FileSystem& files, const ConfigSource& source);

// launch.timeout of a configuration that is not yet known to be right: ranks start with it, before they read the
// configuration together and say what is wrong. The default where it cannot be read.
std::chrono::milliseconds launch_timeout(FileSystem& files, const ConfigSource& source);

// Only reads: for YAML that write_run_config wrote. `name` stands for the path in messages.
RunConfig read_run_config_text(const std::string& text, const std::string& name);

// Error{usage} if `run` is of another model than `config_text`, the configuration in `checkpoint`, says: values that
// decide the model's function but not its shapes would go unnoticed when weights are loaded. Passes if the text is of
// another version of Drover: the tensors fit, and that is all that can be known.
void refuse_changed_model(const RunConfig& run, const std::string& config_text,
                          const std::string& checkpoint);

// YAML that read_run_config reads back to the same values: the run directory's config.yaml.
std::string write_run_config(const Config& config);

// docs/config.md.
std::string document_run_config();

}  // namespace drover
