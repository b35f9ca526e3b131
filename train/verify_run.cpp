#include "train/verify_run.h"

#include <algorithm>
#include <cmath>

#include "checkpoint/checkpoint.h"
#include "core/cpu/cpu_backend.h"
#include "core/watch/planted_bug.h"
#include "core/watch/stream_sanitizer.h"
#include "parallel/comm/sanitized_comm.h"

namespace drover {

namespace {

// One rank's training, step by step, under a stream sanitizer.
class Recorder {
 public:
  Recorder(Communicator& world, FileSystem& files, Memory& memory, const VerifyWork& work)
      : world_(sanitized(world.split(0, world.rank(), world.name()), sanitizer_)),
        work_(work),
        memory_(memory),
        real_backend_(make_cpu_backend(memory_, cpu_options(work.config, 1))),
        backend_(*real_backend_, sanitizer_),
        platform_{.world = *world_,
                  .backend = backend_,
                  .host = memory_,
                  .files = files,
                  .sent = &sent_,
                  .planted = work.planted},
        training_(build_training(work.config, platform_)),
        trainer_(*training_, platform_) {}

  // Rank 0's is whole; the others' is their part.
  VerifyRun run();
  // `value` of all ranks, reduced.
  std::int64_t over_ranks(std::int64_t value, Reduction reduction);

 private:
  Parameters blank() const;
  void take(std::span<const StateEntry> entries, std::string_view slot, Parameters& into);
  void train();
  void step();
  void gather();
  void merge(std::span<const double> theirs);
  void add_cost();
  std::string hash();

  // All that is gathered, in one order on all ranks.
  template <class Use>
  void each_parameter(Use use);

  StreamSanitizer sanitizer_;
  std::unique_ptr<Communicator> world_;
  const VerifyWork& work_;
  Memory& memory_;
  std::unique_ptr<Backend> real_backend_;
  SanitizedBackend backend_;
  SentBytes sent_{};
  Platform platform_;
  std::unique_ptr<Training> training_;
  Trainer trainer_;
  VerifyRun run_;
};

// Every logical parameter, nothing known of it.
Parameters Recorder::blank() const {
  Parameters parameters;
  for (const ParameterLayout& parameter : training_->plan.table)
    if (parameter.tied_to.empty())
      parameters[parameter.name].assign(static_cast<std::size_t>(parameter.numel()), std::nan(""));
  return parameters;
}

// The host reads what the stream wrote.
void Recorder::take(std::span<const StateEntry> entries, std::string_view slot, Parameters& into) {
  backend_.synchronize(trainer_.exec().stream);
  for (const StateEntry& entry : entries)
    if (entry.slot == slot) sanitizer_.host("verify", std::array{reads(slot, entry.data)});
  into = blank();
  const std::string unequal = place(entries, slot, into);
  if (!unequal.empty()) run_.record.unequal_copies.push_back(cat(slot, " of ", unequal));
}

void Recorder::step() {
  const StepReport report = trainer_.step();
  run_.record.steps.push_back(report);
  Parameters& gradient = run_.record.gradients.emplace_back();
  take(trainer_.gradient_entries(), "gradient", gradient);
  const double targets = static_cast<double>(std::max<std::int64_t>(1, report.targets));
  for (auto& [name, elements] : gradient)
    for (double& element : elements) element /= targets;
}

void Recorder::train() {
  RunRecord& record = run_.record;
  take(trainer_.state_entries(Trainer::Holders::all), "weight", record.initial);
  for (int i = 0; i < work_.steps; ++i) step();
  const std::vector<StateEntry> state = trainer_.state_entries(Trainer::Holders::all);
  take(state, "weight", record.weights);
  take(state, "moment1", record.moment1);
  take(state, "moment2", record.moment2);
}

template <class Use>
void Recorder::each_parameter(Use use) {
  const auto visit = [&](const std::string& what, Parameters& parameters) {
    for (auto& [name, elements] : parameters) use(cat(what, " of ", name), elements);
  };
  RunRecord& record = run_.record;
  visit("initial weight", record.initial);
  for (std::size_t i = 0; i < record.gradients.size(); ++i)
    visit(cat("gradient in step ", i + 1), record.gradients[i]);
  visit("weight", record.weights);
  visit("moment1", record.moment1);
  visit("moment2", record.moment2);
}

void Recorder::merge(std::span<const double> theirs) {
  std::size_t at = 0;
  each_parameter([&](const std::string& name, std::vector<double>& elements) {
    bool equal = true;
    for (double& element : elements) {
      const double value = theirs[at++];
      if (std::isnan(element)) element = value;
      equal = equal && (std::isnan(value) || element == value);
    }
    if (!equal) run_.record.unequal_copies.push_back(name);
  });
}

// Rank by rank, so that rank 0 holds one other rank's part at a time.
void Recorder::gather() {
  std::vector<double> part;
  each_parameter([&](const std::string&, std::vector<double>& elements) {
    part.insert(part.end(), elements.begin(), elements.end());
  });
  const Tensor view = Tensor::of(part.data(), {static_cast<std::int64_t>(part.size())});
  if (world_->rank() > 0) world_->send(trainer_.exec(), view, 0).join();
  for (int rank = 1; world_->rank() == 0 && rank < world_->size(); ++rank) {
    world_->recv(trainer_.exec(), view, rank).join();
    merge(part);
  }
}

std::int64_t Recorder::over_ranks(std::int64_t value, Reduction reduction) {
  world_->all_reduce(trainer_.exec(), {.x = Tensor::of(&value, {1}), .reduction = reduction}).join();
  return value;
}

void Recorder::add_cost() {
  VerifyCost& cost = run_.cost;
  cost.sent = sent_;
  for (std::int64_t& sent : cost.sent) sent = over_ranks(sent, Reduction::sum);
  cost.peak_bytes = over_ranks(memory_.ledger().peak_total(), Reduction::max);
  const auto pairs = [&](Reduction reduction) {
    return static_cast<double>(over_ranks(trainer_.own_attended_pairs(), reduction));
  };
  cost.balance = pairs(Reduction::max) * world_->size() / pairs(Reduction::sum);
}

// As checkpoints hash: in the masters' dtype.
std::string Recorder::hash() {
  const DType dtype = training_->model.groups->master();
  std::vector<std::vector<float>> narrowed;  // whose elements entries point to
  std::vector<StateEntry> entries;
  const auto add = [&](const char* slot, const Parameters& parameters) {
    for (const ParameterLayout& parameter : training_->plan.table) {
      if (!parameter.tied_to.empty()) continue;
      const std::vector<double>& wide = parameters.at(parameter.name);
      const void* data = wide.data();
      if (dtype == DType::float32) data = narrowed.emplace_back(wide.begin(), wide.end()).data();
      entries.push_back({.name = parameter.name,
                         .slot = slot,
                         .dtype = dtype,
                         .shape = parameter.shape,
                         .dims = parameter.dims,
                         .data = Tensor::of(const_cast<void*>(data), dtype, {parameter.numel()})});
    }
  };
  add("weight", run_.record.weights);
  add("moment1", run_.record.moment1);
  add("moment2", run_.record.moment2);
  return weight_hash(entries, trainer_.run_state());
}

VerifyRun Recorder::run() try {
  train();
  add_cost();
  gather();
  if (world_->rank() == 0) run_.weight_hash = hash();
  return std::move(run_);
} catch (const Error& error) {
  // Out of memory, for one, is an error of usage wherever it comes.
  if (error.exit() == Exit::usage) throw Error(Exit::internal, error.what());
  throw;
}

}  // namespace

VerifyRun record_local_run(int ranks, FileSystem& files, const VerifyWork& work) {
  VerifyRun run;
  run_local_ranks(ranks,
                  [&](Communicator& world) {
                    HostMemory memory;
                    VerifyRun mine = Recorder(world, files, memory, work).run();
                    if (world.rank() == 0) run = std::move(mine);
                  },
                  {.deadline = kVerifyDeadline});
  if (work.planted != nullptr) run.planted_lines = work.planted->times_run();
  return run;
}

std::optional<VerifyRun> record_run_of_processes(const VerifyProcesses& processes, int ranks,
                                                 const VerifyWork& work) {
  processes.meeting.barrier(processes.control).join();
  Communicator& world = processes.world;
  const auto first = world.split(world.rank() < ranks ? 0 : -1, world.rank(), "verify");
  if (!first) return std::nullopt;
  const auto memory = processes.make_memory();
  Recorder recorder(*first, processes.files, *memory, work);
  VerifyRun run = recorder.run();
  run.planted_lines =
      recorder.over_ranks(work.planted != nullptr ? work.planted->times_run() : 0, Reduction::sum);
  return first->rank() == 0 ? std::optional(std::move(run)) : std::nullopt;
}

}  // namespace drover
