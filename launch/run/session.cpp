#include "launch/run/session.h"

#include "checkpoint/write/attempts.h"

namespace drover {

void RunSession::refuse_changed_settings() {
  const bool trained = !accepted_checkpoints(files_, directory_.checkpoints()).empty();
  if (!trained || !files_.exists(directory_.config())) return;
  const RunConfig before = read_run_config(files_, {.path = directory_.config().string(), .overrides = {}});
  const std::vector<std::string> changed = changed_on_resume(before.fields, run_.fields);
  if (changed.empty()) return;
  std::string list;
  for (const std::string& field : changed) list += "\n  " + field;
  throw usage_error(directory_.path().string(),
                    " holds a run with other settings, and these may not change when it goes on:", list,
                    "\nTake the old values, or choose another run.dir");
}

// Rank 0: the folder is this process's from here on; returns the attempt's number.
std::int64_t RunSession::claim(RunFolder folder, const AttemptInfo& info) {
  if (folder == RunFolder::must_be_new && directory_.holds_a_run())
    throw usage_error("--fresh: ", directory_.path().string(),
                      " holds a run already; choose another run.dir, or leave --fresh out to go on with it");
  directory_.make();
  lock_ = std::make_unique<RunLock>(directory_.path());
  refuse_changed_settings();
  const std::int64_t attempt = directory_.begin_attempt(info);
  metrics_ = std::make_unique<LineFile>(files_, directory_.metrics());
  return attempt;
}

void RunSession::begin(RunFolder folder, const AttemptInfo& info) {
  attempt_ = std::stoll(process_.on_first_rank([&] { return cat(claim(folder, info)); }));
  console_ = std::make_unique<Console>(ConsoleOptions{
      .log_file = directory_.rank_log(attempt_, process_.world().rank()), .to_people = process_.first()});
  for (const std::string& warning : run_.warnings) console_->warn(warning);
}

void RunSession::record_start() {
  process_.on_first_rank([&] {
    write_text_atomically(files_, directory_.config(), write_run_config(run_.config));
    if (files_.exists(directory_.result())) files_.remove_file(directory_.result());
    return std::string();
  });
  has_started_ = true;
}

bool RunSession::was_done_at(std::int64_t step) {
  return process_.on_first_rank([&] { return cat(directory_.was_done_at(step) ? "yes" : "no"); }) == "yes";
}

void RunSession::set_newer_checkpoints_aside(std::int64_t step) {
  const std::string moved =
      process_.on_first_rank([&] { return cat(directory_.set_newer_checkpoints_aside(step, attempt_)); });
  if (moved != "0")
    console_->print(
        cat(moved, " newer checkpoints were set aside in ", (directory_.path() / "set_aside").string()));
}

void RunSession::append_metrics(const std::string& line) {
  if (metrics_) metrics_->append(line);
}

void RunSession::write_result(const RunResult& result) {
  write_text_atomically(files_, directory_.result(), result_json(result, run_.config.model));
}

void RunSession::note_failure(const std::string& reason) {
  if (console_) console_->note_failure(cat("rank ", process_.world().rank(), ": ", reason));
}

}  // namespace drover
