#include "launch/config/run_config.h"

#include <algorithm>

#include "launch/config/describe_config.h"
#include "model/parameters.h"
#include "optim/schedule.h"
#include "parallel/pipeline/schedule.h"
#include "train/training.h"

namespace drover {

namespace {

std::vector<ResolvedField> list_values(Config config) {
  return list_config([&](Fields& fields) { describe(fields, config); });
}

ResolvedField& field_at(std::vector<ResolvedField>& fields, const std::string& path) {
  const auto found =
      std::find_if(fields.begin(), fields.end(), [&](const auto& field) { return field.path == path; });
  DROVER_CHECK(found != fields.end(), path);
  return *found;
}

void resolve_run_directory(RunConfig& run) {
  RunSection& section = run.config.run;
  if (!section.dir.empty()) return;
  if (!is_base_name(section.name))
    throw usage_error("run.name is '", section.name, "', which cannot be a folder's name; set run.dir");
  section.dir = "runs/" + section.name;
  field_at(run.fields, "run.dir").value =
      list_config([&](Fields& f) { f.add("dir", section.dir, {}); })[0].value;
}

// Order and split of a pipeline, as far as neither microbatches nor a CSV decide.
void check_pipeline(const Config& config) {
  const ScheduleOptions options = schedule_options(config.parallel);
  check_schedule(options);
  if (options.schedule != Schedule::csv) blocks_of_stages(config, options.ranks * options.chunks);
}

// What the parts check when they are built, as far as that needs nothing else.
void check_values(const Config& config, FileSystem& files) {
  validate(config.model);
  parameter_table(config.model, static_cast<int>(config.parallel.tensor));
  check_pipeline(config);
  check_sources(config.data);
  if (config.data.synthetic) open_sources(config, files);  // opens no file
  validate(config.optimizer, total_steps(config));
  Sampler{sampler_phases(config)};
}

bool is_given(const ResolvedField& field) {
  return field.origin != "default" && !field.origin.starts_with("preset ");
}

// Messages of the parts begin with the key they are about; its place is put in front.
std::string located(const std::string& message, const RunConfig& run, const std::string& file) {
  for (const ResolvedField& field : run.fields)
    if (is_given(field) && message.starts_with(field.path + " ")) return field.origin + ": " + message;
  return file + ": " + message;
}

struct Ineffective {
  const char* path;
  bool holds;
  const char* reason;
};

std::vector<std::string> find_warnings(const RunConfig& run) {
  const Config& c = run.config;
  const bool constant = c.optimizer.schedule == "constant", no_holdout = c.data.holdout.empty();
  const std::array rules{
      Ineffective{"optimizer.decay_steps", constant, "optimizer.schedule is constant"},
      Ineffective{"optimizer.min_lr_ratio", constant, "optimizer.schedule is constant"},
      Ineffective{"eval.every", no_holdout, "data.holdout is not set"},
      Ineffective{"eval.sequences", no_holdout, "data.holdout is not set"},
      Ineffective{"parallel.context_pieces", c.parallel.context == 1, "parallel.context is 1"},
      Ineffective{"parallel.stage_layers", c.parallel.pipeline == 1, "parallel.pipeline is 1"},
      Ineffective{"parallel.schedule_file", c.parallel.schedule != "csv", "parallel.schedule is not csv"},
  };
  std::vector<ResolvedField> defaults = list_values(Config{});
  std::vector<std::string> warnings;
  for (const ResolvedField& field : run.fields)
    for (const Ineffective& rule : rules)
      if (rule.holds && field.path == rule.path && is_given(field) &&
          field.value != field_at(defaults, field.path).value)
        warnings.push_back(cat(field.origin, ": ", field.path, " has no effect, because ", rule.reason));
  return warnings;
}

}  // namespace

RunConfig read_run_config(FileSystem& files, const ConfigSource& source) {
  RunConfig run;
  run.fields = read_config(files, source, [&](Fields& fields) { describe(fields, run.config); });
  try {
    resolve_run_directory(run);
    check_values(run.config, files);
  } catch (const Error& error) {
    if (error.exit() != Exit::usage && error.exit() != Exit::input) throw;
    throw Error(Exit::usage, located(error.what(), run, source.path));
  }
  run.warnings = find_warnings(run);
  return run;
}

std::chrono::milliseconds launch_timeout(FileSystem& files, const ConfigSource& source) {
  LaunchConfig launch;
  try {
    launch = read_run_config(files, source).config.launch;
  } catch (const Error&) {
  }
  return std::chrono::duration_cast<std::chrono::milliseconds>(launch.timeout);
}

RunConfig read_run_config_text(const std::string& text, const std::string& name) {
  RunConfig run;
  run.fields = read_config_text(text, name, [&](Fields& fields) { describe(fields, run.config); });
  return run;
}

void refuse_changed_model(const RunConfig& run, const std::string& config_text,
                          const std::string& checkpoint) {
  RunConfig before;
  try {
    before = read_run_config_text(config_text, "the checkpoint's configuration");
  } catch (const Error&) {
    return;
  }
  std::string list;
  for (const std::string& field : changed_on_resume(before.fields, run.fields))
    if (field.starts_with("model.")) list += "\n  " + field;
  if (!list.empty())
    throw usage_error("the configuration's model is not the one that ", checkpoint, " was trained as:", list);
}

std::string write_run_config(const Config& config) { return write_config(list_values(config)); }

std::string document_run_config() {
  constexpr const char* kIntroduction = R"(# Configuration

Written by `drover config --docs`; a test fails when this page and the program differ.

A run is one YAML file of the sections below; `drover train configs/tiny.yaml --set optimizer.lr=1.0e-3` puts
values over it. Every key but the required ones has a default. Unknown keys, keys given twice and values of another
type are errors with file, line and column. `drover config CONFIG` prints every value and where it came from.

- `base: other.yaml` at the top of a file layers the file over another one: mappings are merged key by key, lists
  and values are replaced, `null` takes a value away. `--set` is the last layer; `a[0].b=c` sets a value in a list.
- Token counts may be written as 500M, 2B or 64K (powers of 1000), durations as 30s, 10min, 2h or 1d.
- Relative paths start at the working directory; that of `base` alone at the folder of the file it stands in.
- A key that may not change on resume is compared with the run's own config.yaml when the run goes on.
- Names that torchtitan, nanotron, Megatron-LM or Transformers have for a key are not accepted, but the error names
  the key here.

)";
  Config config;
  return kIntroduction + document_config([&](Fields& fields) { describe(fields, config); });
}

}  // namespace drover
