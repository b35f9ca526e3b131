#include "launch/run/checkpoints.h"

#include "checkpoint/checkpoint.h"
#include "checkpoint/format/names.h"

namespace drover {

// Empty if there is none.
std::filesystem::path RunCheckpoints::find(std::optional<std::int64_t> from) {
  const std::filesystem::path folder = p_.session.directory().checkpoints();
  const auto found = find_checkpoint(
      p_.files, p_.trainer.exec(), p_.process.world(), folder,
      [&](const std::string& warning) { p_.session.console().warn(warning); }, from);
  if (from && (!found || !found->filename().string().starts_with(step_name(*from))))
    throw input_error("--resume-from ", *from, ": ", folder.string(), " has no such checkpoint that verifies",
                      found ? "; the newest before it is " + found->filename().string() : "");
  return found.value_or(std::filesystem::path());
}

void RunCheckpoints::resume(std::optional<std::int64_t> from) {
  p_.process.phases().enter(RunPhase::load);
  const std::filesystem::path found = find(from);
  if (found.empty()) return;
  const std::vector<StateEntry> entries = p_.trainer.state_entries();
  const RunState state = load_checkpoint(p_.files, p_.trainer.exec(), p_.process.world(), found, entries);
  refuse_changed_model(p_.run, state.config, found.string());  // imported weights come without a config.yaml
  p_.trainer.resume(state);
  saved_ = found;
  saved_step_ = state.step;
  p_.totals.go_on_from(state);
  if (from) p_.session.set_newer_checkpoints_aside(*from);  // they belong to the timeline that is left
  p_.session.console().print(cat("resumed from ", found.string(), " at step ", state.step, ", ",
                                 quantity_text(static_cast<double>(state.tokens)), " tokens"));
  if (state.fingerprint != p_.fingerprint)
    p_.session.console().warn(cat("this checkpoint was computed with ", state.fingerprint, ", this run with ",
                                  p_.fingerprint, ": from here on the numbers may differ in the last bits"));
}

void RunCheckpoints::save() {
  if (saved_step_ == p_.trainer.completed_steps()) return;
  p_.process.phases().enter(RunPhase::save);
  RunState state = p_.trainer.run_state();
  p_.totals.write_to(state);
  state.fingerprint = p_.fingerprint;
  state.config = write_run_config(p_.run.config);
  state.attempt = p_.session.attempt();
  const std::vector<StateEntry> entries = p_.trainer.state_entries(Trainer::Holders::writer);
  const Stopwatch watch;
  saved_ = save_checkpoint(p_.files, p_.trainer.exec(), p_.process.world(),
                           {.folder = p_.session.directory().checkpoints(),
                            .entries = entries,
                            .state = state,
                            .keep = static_cast<int>(p_.run.config.checkpoint.keep),
                            .warn = [&](const std::string& warning) { warn_once(warning); }});
  saved_step_ = state.step;
  since_save_.restart();
  p_.session.console().print(cat("saved ", saved_.string(), " in ", duration_text(watch.seconds())));
}

// What stays in the checkpoints' folder is found again at every save.
void RunCheckpoints::warn_once(const std::string& warning) {
  if (warned_.insert(warning).second) p_.session.console().warn(warning);
}

std::string RunCheckpoints::weight_hash() {
  return drover::weight_hash(p_.files, p_.trainer.exec(), p_.process.world(), saved_);
}

}  // namespace drover
