// One attempt's hold on its run directory: the lock, the attempt's number, the console, and what is claimed and
// recorded there. Whoever trains in it is elsewhere.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "launch/config/run_config.h"
#include "launch/process/process.h"
#include "launch/run/console.h"
#include "launch/run/directory.h"
#include "launch/run/report.h"

namespace drover {

enum class RunFolder : std::uint8_t { may_hold_a_run, must_be_new };

class RunSession {
 public:
  // Touches nothing on disk. All three outlive this.
  RunSession(Process& process, FileSystem& files, const RunConfig& run)
      : process_(process), files_(files), run_(run), directory_(files, run.config.run.dir) {}

  // Makes the directory this attempt's, takes its number, opens the logs. Error{usage} when another process has it, when
  // it holds a run that this one cannot go on with, or holds one at all and `folder` says it must not. Collective.
  void begin(RunFolder folder, const AttemptInfo& info);
  // Writes the settings that bind the next start, once everything they name was found usable; removes the result of
  // the attempt before. A start that failed before leaves both. Collective.
  void record_start();
  // Whether result.json says that the run was complete at `step`. Collective.
  bool was_done_at(std::int64_t step);
  // Moves the checkpoints after `step` to set_aside/ and says so. Collective.
  void set_newer_checkpoints_aside(std::int64_t step);

  // After begin():
  Console& console() { return *console_; }
  std::int64_t attempt() const { return attempt_; }
  const RunDirectory& directory() const { return directory_; }
  // A line of metrics.jsonl, which rank 0 writes.
  void append_metrics(const std::string& line);
  // result.json; rank 0.
  void write_result(const RunResult& result);
  // What ends the attempt, into this rank's log, where there is one yet.
  void note_failure(const std::string& reason);
  // Whether record_start() was passed: from then on a failure leaves a result.
  bool has_started() const { return has_started_; }

 private:
  std::int64_t claim(RunFolder folder, const AttemptInfo& info);
  void refuse_changed_settings();

  Process& process_;
  FileSystem& files_;
  const RunConfig& run_;
  RunDirectory directory_;
  std::unique_ptr<RunLock> lock_;  // rank 0
  std::int64_t attempt_ = 0;
  std::unique_ptr<Console> console_;
  std::unique_ptr<LineFile> metrics_;  // rank 0
  bool has_started_ = false;
};

}  // namespace drover
