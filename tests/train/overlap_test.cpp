// What travels while what is computed, in the trace of one rank's step on shapes: whether an operation is in flight
// is a matter of the program's order, not of time.
#include "core/ops/counting_backend.h"
#include "parallel/comm/shape_comm.h"
#include "tests/support/local_training.h"
#include "tests/support/test_support.h"

namespace drover::testing {
namespace {

constexpr int kBlocks = 4, kGroups = kBlocks + 2, kMicrobatches = 3;

Config config_of(const ParallelConfig& parallel) {
  Config config = parallel_config();
  config.parallel = parallel;
  config.train.microbatch_sequences = 1;
  config.train.batch_tokens = config.train.sequence_length * kMicrobatches *
                              std::max<std::int64_t>(1, parallel.shard) * parallel.replicate;
  config.train.steps = 1;
  return config;
}

// Of rank 0 of two.
std::vector<Span> spans_of_step(const Config& config) {
  PosixFileSystem files;
  HostMemory host;
  const auto cpu = make_cpu_backend(host, {.threads = 1});
  CountingBackend shapes(*cpu);
  Trace trace(1 << 15);
  TracedBackend watched(shapes, trace);
  ShapeComm world(2);
  const Platform platform{.world = world, .backend = watched, .host = host, .files = files, .trace = &trace};
  const auto training = build_training(config, platform);
  trace.start();
  Trainer(*training, platform).step();
  return trace.spans();
}

// How many operations `verb` that send anything are on their way while one of `works` is computed, from its beginning
// to its end.
std::int64_t under(const std::vector<Span>& spans, std::string_view verb, std::initializer_list<Work> works) {
  const auto is_work = [&](const Span& span) {
    return std::any_of(works.begin(), works.end(), [&](Work work) { return span.name == name_of(work); });
  };
  return std::count_if(spans.begin(), spans.end(), [&](const Span& flight) {
    if (flight.track != Span::Track::in_flight || flight.name != verb || flight.number == 0) return false;
    return std::any_of(spans.begin(), spans.end(), [&](const Span& span) {
      return is_work(span) && flight.begin <= span.begin && span.end <= flight.end;
    });
  });
}

// What makes gradients: of products, and of the embedding at the end.
constexpr std::initializer_list<Work> kGradients{Work::weight_products, Work::embedding};

}  // namespace

TEST_CASE("all groups but the last are reduced under backward, ZeRO-1's once and ZeRO-2's every microbatch") {
  const auto reductions = [](int zero) {
    return under(spans_of_step(config_of({.shard = 2, .zero = zero})), "reduce_scatter", kGradients);
  };
  CHECK(reductions(1) == kGroups - 1);
  // The last group of a microbatch travels under the next one's forward.
  CHECK(reductions(2) == kGroups * kMicrobatches - 1);
}

TEST_CASE("all shards but the last two are summed over replicas under backward, whatever the policy") {
  for (const int zero : {1, 2, 3})
    CHECK(under(spans_of_step(config_of({.replicate = 2, .shard = 1, .zero = zero})), "all_reduce",
                kGradients) == kGroups - 2);
}

TEST_CASE("keys and values are collected under the products before attention, forward and backward") {
  const std::vector<Span> spans = spans_of_step(config_of({.context = 2, .shard = 1}));
  constexpr int kHeadGroups = 2;  // of kv heads
  CHECK(under(spans, "all_gather", {Work::input_products}) == kBlocks * kMicrobatches * kHeadGroups);
}

}  // namespace drover::testing
