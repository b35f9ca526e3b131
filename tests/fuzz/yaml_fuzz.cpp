// A run's YAML: read, resolved and checked as far as no other file is needed. What is accepted means the same when it
// is written to the run directory and read back.
#include "launch/config/run_config.h"
#include "tests/fuzz/answer.h"
#include "tests/support/recording_filesystem.h"

namespace drover {
namespace {

constexpr const char* kName = "run.yaml";

void require_equal_when_written(const RunConfig& run) {
  const RunConfig again = read_run_config_text(write_run_config(run.config), "written");
  for (const std::string& changed : changed_on_resume(run.fields, again.fields))
    report_defect("a value changes when it is written", changed);
}

}  // namespace
}  // namespace drover

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace drover;
  RecordingFileSystem files;
  files.open(kName, OpenMode::create)->write(bytes_of(text_of(data, size)), 0);
  RunConfig run;
  const ConfigSource source{.path = kName, .overrides = {}};
  if (answers(Exit::usage, kName, [&] { run = read_run_config(files, source); }))
    require_equal_when_written(run);
  return 0;
}
