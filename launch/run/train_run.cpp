#include "launch/run/train_run.h"

#include "launch/process/build_identity.h"
#include "launch/process/signals.h"
#include "launch/run/checkpoints.h"
#include "launch/run/loop.h"
#include "launch/run/profile.h"
#include "launch/run/reports.h"
#include "train/peak.h"

namespace drover {

namespace {

// Members are in order of construction; later ones refer to earlier ones.
class TrainRun {
 public:
  TrainRun(Process& process, FileSystem& files, const TrainRequest& request)
      : process_(process),
        files_(files),
        request_(request),
        run_(read_run_config(files, request.config)),
        session_(process, files, run_),
        memory_(process.make_memory()),
        backend_(make_cpu_backend(*memory_, cpu_options(run_.config, process.compute_threads()))) {
    if (!request.profile.empty()) profile_.emplace(request.profile, *backend_);
  }

  Exit run();
  // Leaves the reason where it is looked for later: in this rank's log, and in result.json, unless the attempt failed
  // before it changed anything. Best effort: the failure is on its way.
  void note_failure(const std::string& reason) noexcept;

 private:
  void begin();
  void build();
  double measure_peak();
  void compose_loop();
  RunResult result_so_far(const std::string& exit_reason) const;
  std::string exit_reason() const;
  Exit finish();

  const Config& config() const { return run_.config; }
  std::int64_t done() const { return trainer_->completed_steps(); }

  Process& process_;
  FileSystem& files_;
  const TrainRequest& request_;
  StopSignals signals_;
  RunConfig run_;
  RunTotals totals_;
  RunSession session_;

  std::unique_ptr<Memory> memory_;
  std::unique_ptr<Backend> backend_;
  std::optional<Profile> profile_;
  std::optional<Platform> platform_;
  std::unique_ptr<Training> training_;
  std::unique_ptr<Trainer> trainer_;

  std::optional<RunReports> reports_;
  std::optional<RunCheckpoints> checkpoints_;
  std::optional<TrainLoop> loop_;
};

// What configuration and ranks decide without the data is refused while nothing is on disk.
void TrainRun::begin() {
  process_.require_equal_on_all_ranks("configuration", cat(write_run_config(config()), build_commit()));
  const Mesh mesh = mesh_of(config(), process_.world().size());
  for (const std::int64_t microbatches : microbatches_of_phases(config(), mesh))
    schedule_of(config(), files_, microbatches);
  session_.begin(
      request_.folder,
      {.ranks = process_.world().size(), .mesh = mesh.describe(), .fingerprint = backend_->describe()});
}

void TrainRun::build() {
  platform_.emplace(Platform{.world = process_.world(),
                             .backend = profile_ ? profile_->backend() : *backend_,
                             .host = *memory_,
                             .files = files_,
                             .trace = profile_ ? &profile_->trace() : nullptr});
  training_ = build_training(config(), *platform_);
  process_.on_first_rank([&] {
    check_tokenizer(config(), training_->data.sources);
    return std::string();
  });
  trainer_ = std::make_unique<Trainer>(*training_, *platform_);
}

// Of all ranks together, FLOP/s.
double TrainRun::measure_peak() {
  process_.world()
      .barrier(process_.control())
      .join();       // ranks of a host share its caches and memory as in training
  HostMemory apart;  // the run's high-water marks are the model's
  double sum = measure_product_peak(trainer_->exec(), apart, training_->model.groups->compute());
  process_.world().all_reduce(process_.control(), {.x = Tensor::of(&sum, {1})}).join();
  return sum;
}

void TrainRun::compose_loop() {
  reports_.emplace(session_, ReportBasis{.config = config(),
                                         .memory = *memory_,
                                         .total_steps = training_->plan.total_steps,
                                         .peak_flops = measure_peak()});
  checkpoints_.emplace(RunCheckpoints::Parts{.process = process_,
                                             .files = files_,
                                             .run = run_,
                                             .session = session_,
                                             .trainer = *trainer_,
                                             .totals = totals_,
                                             .fingerprint = backend_->describe()});
  loop_.emplace(TrainLoop::Parts{.process = process_,
                                 .files = files_,
                                 .config = config(),
                                 .signals = signals_,
                                 .training = *training_,
                                 .trainer = *trainer_,
                                 .profile = profile_ ? &*profile_ : nullptr,
                                 .totals = totals_,
                                 .reports = *reports_,
                                 .checkpoints = *checkpoints_,
                                 .console = session_.console()});
}

// But for what takes the other ranks to compute.
RunResult TrainRun::result_so_far(const std::string& exit_reason) const {
  return {.step = done(),
          .total_steps = training_->plan.total_steps,
          .tokens = totals_.tokens(),
          .flops = totals_.flops(),
          .effective_seconds = totals_.effective_seconds(),
          .wall_seconds = totals_.wall_seconds(),
          .exit_reason = exit_reason};
}

std::string TrainRun::exit_reason() const {
  if (!loop_->stopped()) return "done";
  return signals_.requested() ? cat("stopped by ", signals_.name()) : "stopped by another rank's signal";
}

Exit TrainRun::finish() {
  process_.phases().enter(RunPhase::end);
  RunResult result = result_so_far(exit_reason());
  result.weight_hash = checkpoints_->weight_hash();
  result.holdout = loop_->evaluation();
  process_.on_first_rank([&] {
    session_.write_result(result);
    return std::string();
  });
  Console& console = session_.console();
  if (profile_ && !profile_->taken())
    console.warn(cat("no profile was written: it is of step ", Profile::kStep,
                     " of an attempt, and this one had fewer"));
  console.print(cat("weight hash ", result.weight_hash));
  console.print(loop_->stopped() ? cat(result.exit_reason, " and saved at step ", done(),
                                       "; run the same command again to go on")
                                 : cat("done: ", done(), " steps in ", duration_text(result.wall_seconds)));
  return loop_->stopped() ? Exit::run_again : Exit::done;
}

Exit TrainRun::run() {
  begin();
  build();
  compose_loop();
  reports_->introduce(training_->plan.mesh, process_.compute_threads(), backend_->describe());
  checkpoints_->resume(request_.resume_from);
  if (trainer_->finished() && session_.was_done_at(done())) {  // it is left as it is, with its result
    session_.console().print(cat("done before: ", done(), " steps, nothing is left to do"));
    return Exit::done;
  }
  session_.record_start();
  loop_->run();
  return finish();
}

void TrainRun::note_failure(const std::string& reason) noexcept {
  try {
    session_.note_failure(reason);
    if (process_.first() && session_.has_started()) session_.write_result(result_so_far(reason));
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
