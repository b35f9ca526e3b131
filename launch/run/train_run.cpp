#include "launch/run/train_run.h"

#include <chrono>
#include <cmath>
#include <set>

#include "checkpoint/checkpoint.h"
#include "checkpoint/write/directory.h"
#include "launch/config/run_config.h"
#include "launch/process/build_identity.h"
#include "launch/process/signals.h"
#include "launch/run/console.h"
#include "launch/run/directory.h"
#include "launch/run/profile.h"
#include "launch/run/report.h"
#include "train/peak.h"

namespace drover {

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

constexpr double kSmoothing = 0.1;  // weight of the newest step in the estimate of time left

class TrainRun {
 public:
  TrainRun(Process& process, FileSystem& files, const TrainRequest& request)
      : process_(process),
        files_(files),
        request_(request),
        run_(read_run_config(files, request.config)),
        directory_(files, run_.config.run.dir),
        memory_(process.make_memory()),
        backend_(make_cpu_backend(*memory_, cpu_options(run_.config, process.compute_threads()))) {
    if (!request.profile.empty()) profile_.emplace(request.profile, *backend_);
  }

  Exit run();
  // Leaves the reason where it is looked for later: in this rank's log, and in result.json, unless the attempt failed
  // before it changed anything. Best effort: the failure is on its way.
  void note_failure(const std::string& reason) noexcept;

 private:
  void check_layout();
  void enter_directory();
  void check_text();
  std::int64_t claim_directory();
  void refuse_changed_settings();
  void record_start();
  void introduce();
  void measure_peak();
  void resume();
  void set_newer_checkpoints_aside();
  void train_step();
  void report_step(const StepReport& report, double seconds);
  void report_profile();
  void evaluate_when_due();
  void evaluate();
  void save_when_due(bool asked);
  void save();
  void warn_once(const std::string& warning);
  RunResult result_so_far(const std::string& exit_reason) const;
  std::string exit_reason() const;
  void write_result(const RunResult& result);
  Exit finish();
  bool was_complete();

  const Config& config() const { return run_.config; }
  std::int64_t done() const { return trainer_->completed_steps(); }
  double wall_seconds() const { return wall_seconds_before_ + seconds_since(started_); }

  Process& process_;
  FileSystem& files_;
  const TrainRequest& request_;
  StopSignals signals_;
  RunConfig run_;
  RunDirectory directory_;
  std::unique_ptr<RunLock> lock_;  // rank 0
  std::int64_t attempt_ = 0;
  std::unique_ptr<Console> console_;
  std::unique_ptr<LineFile> metrics_;  // rank 0

  std::unique_ptr<Memory> memory_;
  std::unique_ptr<Backend> backend_;
  std::optional<Profile> profile_;
  std::optional<Platform> platform_;
  std::unique_ptr<Training> training_;
  std::unique_ptr<Trainer> trainer_;
  double peak_flops_ = 0;  // of all ranks

  Clock::time_point started_ = Clock::now(), last_save_ = started_;
  std::optional<Clock::time_point> last_line_;  // none: nothing said of this attempt's steps yet
  double seconds_per_step_ = 0;
  // As RunState counts them: of all attempts.
  std::int64_t tokens_ = 0;
  double flops_ = 0, effective_seconds_ = 0, wall_seconds_before_ = 0;
  bool started_training_ = false, stopping_ = false;
  std::int64_t saved_step_ = -1, evaluated_step_ = -1;
  std::filesystem::path saved_;
  std::set<std::string> warned_;
  std::optional<Evaluation> evaluation_;
};

void TrainRun::refuse_changed_settings() {
  const bool trained = !committed_names(files_, directory_.checkpoints()).empty();
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
std::int64_t TrainRun::claim_directory() {
  if (request_.folder == RunFolder::must_be_new && directory_.holds_a_run())
    throw usage_error("--fresh: ", directory_.path().string(),
                      " holds a run already; choose another run.dir, or leave --fresh out to go on with it");
  directory_.make();
  lock_ = std::make_unique<RunLock>(directory_.path());
  refuse_changed_settings();
  const std::int64_t attempt =
      directory_.begin_attempt({.ranks = process_.world().size(),
                                .mesh = mesh_of(config(), process_.world().size()).describe(),
                                .fingerprint = backend_->describe()});
  metrics_ = std::make_unique<LineFile>(files_, directory_.metrics());
  return attempt;
}

// What configuration and ranks decide without the data is refused while nothing is on disk.
void TrainRun::check_layout() {
  const Mesh mesh = mesh_of(config(), process_.world().size());
  for (const std::int64_t microbatches : microbatches_of_phases(config(), mesh))
    schedule_of(config(), files_, microbatches);
}

void TrainRun::enter_directory() {
  attempt_ = std::stoll(process_.on_first_rank([&] { return cat(claim_directory()); }));
  console_ = std::make_unique<Console>(ConsoleOptions{
      .log_file = directory_.rank_log(attempt_, process_.world().rank()), .to_people = process_.first()});
  for (const std::string& warning : run_.warnings) console_->warn(warning);
}

void TrainRun::check_text() {
  process_.on_first_rank([&] {
    check_tokenizer(config(), training_->data.sources);
    return std::string();
  });
}

// Only once everything it names was found usable: a start that failed leaves nothing that binds the next one, and the
// result of the attempt before.
void TrainRun::record_start() {
  process_.on_first_rank([&] {
    write_text_atomically(files_, directory_.config(), write_run_config(config()));
    if (files_.exists(directory_.result())) files_.remove_file(directory_.result());
    return std::string();
  });
  started_training_ = true;
}

void TrainRun::introduce() {
  const ParameterCount parameters = count_parameters(config().model);
  console_->print(cat(config().run.name, ": ", quantity_text(static_cast<double>(parameters.total)),
                      " parameters, ", config().train.dtype, ", ", training_->plan.mesh.describe(), ", ZeRO-",
                      config().parallel.zero, ", ", process_.compute_threads(), " threads a rank, ",
                      backend_->describe()));
  console_->print(cat(directory_.path().string(), ", attempt ", attempt_, ": ", training_->plan.total_steps,
                      " steps of ", quantity_text(static_cast<double>(config().train.batch_tokens)),
                      " tokens; product peak ", quantity_text(peak_flops_), "FLOP/s; memory a rank ",
                      bytes_text(memory_->ledger().peak_total())));
}

void TrainRun::measure_peak() {
  process_.world()
      .barrier(process_.control())
      .join();       // ranks of a host share its caches and memory as in training
  HostMemory apart;  // the run's high-water marks are the model's
  const double mine = measure_product_peak(trainer_->exec(), apart, training_->model.groups->compute());
  double sum = mine;
  process_.world().all_reduce(process_.control(), {.x = Tensor::of(&sum, {1})}).join();
  peak_flops_ = sum;
}

void TrainRun::resume() {
  const Exec& exec = trainer_->exec();
  Communicator& world = process_.world();
  const auto found = find_checkpoint(
      files_, exec, world, directory_.checkpoints(),
      [&](const std::string& warning) { console_->warn(warning); }, request_.resume_from);
  if (request_.resume_from &&
      (!found || !found->filename().string().starts_with(step_name(*request_.resume_from))))
    throw input_error("--resume-from ", *request_.resume_from, ": ", directory_.checkpoints().string(),
                      " has no such checkpoint that verifies",
                      found ? "; the newest before it is " + found->filename().string() : "");
  if (!found) return;
  const std::vector<StateEntry> entries = trainer_->state_entries();
  const RunState state = load_checkpoint(files_, exec, world, *found, entries);
  refuse_changed_model(run_, state.config, found->string());  // imported weights come without a config.yaml
  trainer_->resume(state);
  saved_ = *found;
  saved_step_ = state.step;
  tokens_ = state.tokens;
  flops_ = state.flops;
  effective_seconds_ = state.effective_seconds;
  wall_seconds_before_ = state.wall_seconds;
  set_newer_checkpoints_aside();
  console_->print(cat("resumed from ", found->string(), " at step ", state.step, ", ",
                      quantity_text(static_cast<double>(state.tokens)), " tokens"));
  if (state.fingerprint != backend_->describe())
    console_->warn(cat("this checkpoint was computed with ", state.fingerprint, ", this run with ",
                       backend_->describe(), ": from here on the numbers may differ in the last bits"));
}

// They belong to the timeline that --resume-from leaves.
void TrainRun::set_newer_checkpoints_aside() {
  if (!request_.resume_from) return;
  const std::string moved = process_.on_first_rank(
      [&] { return cat(directory_.set_newer_checkpoints_aside(*request_.resume_from, attempt_)); });
  if (moved != "0")
    console_->print(
        cat(moved, " newer checkpoints were set aside in ", (directory_.path() / "set_aside").string()));
}

void TrainRun::report_step(const StepReport& report, double seconds) {
  const StepTiming timing{.attempt = attempt_,
                          .time = seconds_since_1970(),
                          .step_seconds = seconds,
                          .peak_flops = peak_flops_,
                          .memory_peak_bytes = memory_->ledger().peak_total()};
  seconds_per_step_ =
      seconds_per_step_ == 0 ? seconds : seconds_per_step_ + kSmoothing * (seconds - seconds_per_step_);
  tokens_ = report.tokens;
  effective_seconds_ += seconds;
  flops_ += training_flops(config().model, report.batch_tokens, report.attended_pairs);
  if (process_.first()) metrics_->append(step_json(report, timing, config().model));
  const std::string line =
      progress_line(report, timing, config().model,
                    {.total_steps = training_->plan.total_steps, .seconds_per_step = seconds_per_step_});
  const bool due =
      !last_line_ || trainer_->finished() || report.stop || seconds_since(*last_line_) >= kPlainLineSeconds;
  if (due) last_line_ = Clock::now();
  due ? console_->print(line) : console_->live(line);
}

void TrainRun::train_step() {
  const CheckpointConfig& checkpoint = config().checkpoint;
  const StepWishes wishes{.stop = signals_.requested(),
                          .save = process_.first() && checkpoint.every_seconds > 0 &&
                                  seconds_since(last_save_) >= checkpoint.every_seconds};
  if (profile_) profile_->before_step(process_);
  const Clock::time_point start = Clock::now();
  const StepReport report = trainer_->step(wishes);
  report_step(report, seconds_since(start));
  if (profile_) report_profile();
  stopping_ = report.stop;
  save_when_due(report.save);
  if (!stopping_) evaluate_when_due();
}

void TrainRun::report_profile() {
  const std::string said = profile_->after_step(process_, files_, describe(training_->plan.at));
  if (!said.empty()) console_->print(said);
}

void TrainRun::evaluate_when_due() {
  const std::int64_t every = config().eval.every;
  if (every > 0 && done() % every == 0 && !trainer_->finished()) evaluate();
}

void TrainRun::evaluate() {
  if (!training_->data.holdout) return;
  const std::optional<double> loss = trainer_->evaluate([&] { return signals_.requested(); });
  if (!loss) {
    stopping_ = true;
    return;
  }
  evaluated_step_ = done();
  evaluation_ = {.loss = *loss, .bits_per_byte = training_->data.holdout->bits_per_byte(*loss)};
  console_->print(cat("step ", done(), "  hold-out: ", evaluation_->loss, " nats a token, ",
                      evaluation_->bits_per_byte, " bits a byte"));
  if (process_.first())
    metrics_->append(evaluation_json(*evaluation_, attempt_, done(), seconds_since_1970()));
}

void TrainRun::save_when_due(bool asked) {
  const std::int64_t every = config().checkpoint.every_steps;
  if (asked || (every > 0 && done() % every == 0)) save();
}

void TrainRun::save() {
  if (saved_step_ == done()) return;
  RunState state = trainer_->run_state();
  state.flops = flops_;
  state.effective_seconds = effective_seconds_;
  state.wall_seconds = wall_seconds();
  state.fingerprint = backend_->describe();
  state.config = write_run_config(config());
  state.attempt = attempt_;
  const std::vector<StateEntry> entries = trainer_->state_entries(Trainer::Holders::writer);
  const Clock::time_point start = Clock::now();
  saved_ = save_checkpoint(files_, trainer_->exec(), process_.world(),
                           {.folder = directory_.checkpoints(),
                            .entries = entries,
                            .state = state,
                            .keep = static_cast<int>(config().checkpoint.keep),
                            .warn = [&](const std::string& warning) { warn_once(warning); }});
  saved_step_ = done();
  last_save_ = Clock::now();
  console_->print(cat("saved ", saved_.string(), " in ", duration_text(seconds_since(start))));
}

// What stays in the checkpoints' folder is found again at every save.
void TrainRun::warn_once(const std::string& warning) {
  if (warned_.insert(warning).second) console_->warn(warning);
}

// But for what takes the other ranks to compute.
RunResult TrainRun::result_so_far(const std::string& exit_reason) const {
  return {.step = done(),
          .total_steps = training_->plan.total_steps,
          .tokens = tokens_,
          .flops = flops_,
          .effective_seconds = effective_seconds_,
          .wall_seconds = wall_seconds(),
          .exit_reason = exit_reason};
}

std::string TrainRun::exit_reason() const {
  if (!stopping_) return "done";
  return signals_.requested() ? cat("stopped by ", signals_.name()) : "stopped by another rank's signal";
}

void TrainRun::write_result(const RunResult& result) {
  write_text_atomically(files_, directory_.result(), result_json(result, config().model));
}

Exit TrainRun::finish() {
  save();
  if (!stopping_ && evaluated_step_ != done()) evaluate();
  RunResult result = result_so_far(exit_reason());
  result.weight_hash = weight_hash(files_, trainer_->exec(), process_.world(), saved_);
  if (evaluated_step_ == done()) result.holdout = evaluation_;
  process_.on_first_rank([&] {
    write_result(result);
    return std::string();
  });
  if (profile_ && !profile_->taken())
    console_->warn(cat("no profile was written: it is of step ", Profile::kStep,
                       " of an attempt, and this one had fewer"));
  console_->print(cat("weight hash ", result.weight_hash));
  console_->print(stopping_ ? cat(result.exit_reason, " and saved at step ", done(),
                                  "; run the same command again to go on")
                            : cat("done: ", done(), " steps in ", duration_text(result.wall_seconds)));
  return stopping_ ? Exit::run_again : Exit::done;
}

// Then it is left as it is, with its result.
bool TrainRun::was_complete() {
  if (!trainer_->finished()) return false;
  const std::string complete =
      process_.on_first_rank([&] { return cat(directory_.was_done_at(done()) ? "yes" : "no"); });
  if (complete == "yes") console_->print(cat("done before: ", done(), " steps, nothing is left to do"));
  return complete == "yes";
}

Exit TrainRun::run() {
  process_.require_equal_on_all_ranks("configuration", cat(write_run_config(config()), build_commit()));
  platform_.emplace(Platform{.world = process_.world(),
                             .backend = profile_ ? profile_->backend() : *backend_,
                             .host = *memory_,
                             .files = files_,
                             .trace = profile_ ? &profile_->trace() : nullptr});
  check_layout();
  enter_directory();
  training_ = build_training(config(), *platform_);
  check_text();
  trainer_ = std::make_unique<Trainer>(*training_, *platform_);
  measure_peak();
  introduce();
  resume();
  if (was_complete()) return Exit::done;
  record_start();
  while (!trainer_->finished() && !stopping_) train_step();
  return finish();
}

void TrainRun::note_failure(const std::string& reason) noexcept {
  try {
    if (console_) console_->note_failure(cat("rank ", process_.world().rank(), ": ", reason));
    if (process_.first() && started_training_) write_result(result_so_far(reason));
  } catch (const std::exception&) {
  }
}

}  // namespace

Exit run_training(Process& process, FileSystem& files, const TrainRequest& request) {
  TrainRun run(process, files, request);
  try {
    return run.run();
  } catch (const std::exception& error) {
    run.note_failure(failure_of(error).text);
    throw;
  }
}

}  // namespace drover
