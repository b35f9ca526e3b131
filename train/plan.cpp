// From the configuration to the values the parts want: steps, phases, sources.
#include <algorithm>
#include <climits>

#include "data/order/assignment.h"
#include "data/store/token_store.h"
#include "data/tokenizer/tokenizer.h"
#include "parallel/pipeline/csv.h"
#include "parallel/pipeline/layers.h"
#include "train/plan.h"
#include "train/training_data.h"

namespace drover {

namespace {

void require_batch(std::int64_t sequence_length, std::int64_t batch_tokens, const std::string& where) {
  if (sequence_length < 1)
    throw usage_error(where, "sequence_length is ", sequence_length, "; it must be at least 1");
  if (batch_tokens < sequence_length || batch_tokens % sequence_length != 0)
    throw usage_error(where, "batch_tokens is ", batch_tokens,
                      "; it must be a positive multiple of sequence_length = ", sequence_length,
                      "; nearest: ", nearest_multiples(batch_tokens, sequence_length));
}

// The weights of a phase for all sources of the run: 0 for those it does not name.
std::vector<double> phase_weights(const DataConfig& data, const std::vector<SourceConfig>& named) {
  std::vector<double> weights(data.sources.size(), 0.0);
  for (const SourceConfig& source : named) {
    const auto found = std::find_if(data.sources.begin(), data.sources.end(),
                                    [&](const SourceConfig& s) { return s.store == source.store; });
    if (found == data.sources.end())
      throw usage_error("phases: source '", source.store,
                        "' is not in data.sources; list it there with weight 0 so that its feed has a place");
    weights[static_cast<std::size_t>(found - data.sources.begin())] = source.weight;
  }
  return weights;
}

void check_vocabulary(const TokenSource& source, const std::string& path, const Config& config) {
  if (source.vocab_size() > config.model.vocab_size)
    throw input_error(path, " was made with a vocabulary of ", source.vocab_size(),
                      " tokens, model.vocab_size is ", config.model.vocab_size,
                      "; prepare it with this model's tokenizer or raise model.vocab_size");
}

void check_same_tokenizer(const TokenSource& a, const TokenSource& b, const std::string& path_a,
                          const std::string& path_b) {
  if (a.tokenizer_digest() != b.tokenizer_digest())
    throw input_error(path_b, " was made with another tokenizer (", b.tokenizer_digest(), ") than ", path_a,
                      " (", a.tokenizer_digest(), "); prepare both with one tokenizer");
}

}  // namespace

std::vector<Phase> sampler_phases(const Config& config) {
  const bool synthetic = config.data.synthetic.has_value();
  Phase phase{
      .from_tokens = 0,
      .sequence_length = config.train.sequence_length,
      .batch_tokens = config.train.batch_tokens,
      .weights = synthetic ? std::vector<double>{1.0} : phase_weights(config.data, config.data.sources)};
  require_batch(phase.sequence_length, phase.batch_tokens, "train.");
  std::vector<Phase> phases{phase};
  for (const PhaseConfig& change : config.phases) {
    phase.from_tokens = change.from_tokens;
    phase.sequence_length = change.sequence_length.value_or(phase.sequence_length);
    phase.batch_tokens = change.batch_tokens.value_or(phase.batch_tokens);
    if (change.sources) phase.weights = phase_weights(config.data, *change.sources);
    require_batch(phase.sequence_length, phase.batch_tokens, "phases: ");
    phases.push_back(phase);
  }
  return phases;
}

LoaderOptions loader_options(const Config& config, const Mesh& mesh, const AxisValues& at) {
  return {.phases = sampler_phases(config),
          .feed = {.seed = static_cast<std::uint64_t>(config.run.seed),
                   .region_tokens = config.data.region_tokens},
          .data_rank = mesh.data_rank(at),
          .data_ranks = mesh.data_ranks(),
          .microbatch_sequences = static_cast<int>(config.train.microbatch_sequences),
          .context = {.rank = at.context,
                      .ranks = mesh.size(Axis::context),
                      .pieces = context_pieces_named(config.parallel.context_pieces)}};
}

std::int64_t longest_sequence(const Config& config) {
  std::int64_t longest = config.train.sequence_length;
  for (const PhaseConfig& phase : config.phases)
    longest = std::max(longest, phase.sequence_length.value_or(0));
  return longest;
}

std::int64_t total_steps(const Config& config) {
  if (config.train.steps.has_value() == config.train.tokens.has_value())
    throw usage_error("give exactly one of train.steps and train.tokens");
  if (config.train.steps) return *config.train.steps;
  // Whole steps, phase by phase: a step belongs to the phase it begins in.
  const Sampler sampler(sampler_phases(config));
  std::int64_t tokens = 0, steps = 0;
  for (std::size_t p = 0; p < sampler.phases().size(); ++p) {
    const bool last = p + 1 == sampler.phases().size();
    const std::int64_t end =
        last ? *config.train.tokens : std::min(*config.train.tokens, sampler.phases()[p + 1].from_tokens);
    const std::int64_t batch = sampler.phases()[p].batch_tokens;
    const std::int64_t count = std::max<std::int64_t>(0, (end - tokens + batch - 1) / batch);
    steps += count;
    tokens += count * batch;
  }
  return steps;
}

void check_sources(const DataConfig& data) {
  if (data.sources.empty() != data.synthetic.has_value())
    throw usage_error("give either data.sources (token stores) or data.synthetic");
  for (std::size_t i = 0; i < data.sources.size(); ++i)
    for (std::size_t j = 0; j < i; ++j)
      if (data.sources[i].store == data.sources[j].store)
        throw usage_error("data.sources names ", data.sources[i].store,
                          " twice; give it once, with the sum of the weights");
}

std::vector<std::unique_ptr<TokenSource>> open_sources(const Config& config, FileSystem& files) {
  const DataConfig& data = config.data;
  check_sources(data);
  std::vector<std::unique_ptr<TokenSource>> sources;
  if (data.synthetic) sources.push_back(std::make_unique<SyntheticSource>(*data.synthetic));
  for (const SourceConfig& source : data.sources) {
    sources.push_back(std::make_unique<TokenStore>(files, source.store));
    check_same_tokenizer(*sources.front(), *sources.back(), data.sources.front().store, source.store);
  }
  for (std::size_t i = 0; i < sources.size(); ++i)
    check_vocabulary(*sources[i], data.synthetic ? "data.synthetic" : data.sources[i].store, config);
  return sources;
}

std::unique_ptr<TokenSource> open_holdout(const Config& config, FileSystem& files,
                                          const std::vector<std::unique_ptr<TokenSource>>& sources) {
  if (config.data.holdout.empty()) return nullptr;
  auto holdout = std::make_unique<TokenStore>(files, config.data.holdout);
  check_vocabulary(*holdout, config.data.holdout, config);
  if (!sources.empty() && !config.data.synthetic)
    check_same_tokenizer(*sources.front(), *holdout, config.data.sources.front().store, config.data.holdout);
  return holdout;
}

void check_tokenizer(const Config& config, const std::vector<std::unique_ptr<TokenSource>>& sources) {
  const std::string& path = config.data.tokenizer;
  if (path.empty() || config.data.synthetic) return;
  const std::string digest = Tokenizer::load(path).digest();
  if (const std::string& stored = sources.front()->tokenizer_digest(); stored != digest)
    throw input_error(config.data.sources.front().store, " was made with another tokenizer (", stored,
                      ") than ", path, " (", digest,
                      "), which data.tokenizer names; name the one that made it, or none");
}

ScheduleOptions schedule_options(const ParallelConfig& parallel) {
  ScheduleOptions options{.schedule = schedule_named(parallel.schedule),
                          .ranks = static_cast<int>(parallel.pipeline),
                          .chunks = static_cast<int>(parallel.virtual_stages),
                          .csv_path = parallel.schedule_file};
  if (parallel.stretch) options.stretch = static_cast<int>(*parallel.stretch);
  return options;
}

PipelineSchedule schedule_of(const Config& config, FileSystem& files, std::int64_t microbatches) {
  ScheduleOptions options = schedule_options(config.parallel);
  options.microbatches =
      static_cast<int>(std::min<std::int64_t>(microbatches, INT_MAX));  // refused above 2^20
  if (!options.csv_path.empty()) options.csv = read_text(files, options.csv_path, kMostScheduleBytes);
  return make_schedule(options);
}

std::vector<std::int64_t> microbatches_of_phases(const Config& config, const Mesh& mesh) {
  std::vector<std::int64_t> counts;
  for (const Phase& phase : sampler_phases(config))
    counts.push_back(microbatches_of(phase.rows(), mesh.data_ranks(),
                                     static_cast<int>(config.train.microbatch_sequences)));
  return counts;
}

std::vector<int> blocks_of_stages(const Config& config, int stages) {
  const ModelConfig& model = config.model;
  const auto layers = static_cast<double>(model.num_hidden_layers);
  const double head = static_cast<double>(model.hidden_size * model.vocab_size);
  const double block = (static_cast<double>(count_parameters(model).matmul) - head) / layers;
  return stage_layers(
      config.parallel.stage_layers,
      {.layers = static_cast<int>(model.num_hidden_layers), .stages = stages, .head = head / block});
}

Recompute recompute_named(const std::string& name) {
  if (name == "none") return Recompute::none;
  if (name == "selective") return Recompute::selective;
  if (name == "full") return Recompute::full;
  throw usage_error("train.recompute is '", name, "'; use none, selective or full");
}

Zero zero_numbered(std::int64_t number) {
  if (number < 1 || number > 3) throw usage_error("parallel.zero is ", number, "; use 1, 2 or 3");
  return static_cast<Zero>(number);
}

}  // namespace drover
