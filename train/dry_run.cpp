#include "train/dry_run.h"

#include <numeric>

#include "core/cpu/cpu_backend.h"
#include "parallel/comm/shape_comm.h"
#include "train/trainer.h"

namespace drover {

namespace {

std::int64_t parameters_of(const ParameterGroups& groups) {
  std::int64_t parameters = 0;
  for (int g = 0; g < groups.count(); ++g)
    for (const GroupPiece& piece : groups.layout(g).pieces) parameters += piece.box.numel();
  return parameters;
}

}  // namespace

std::int64_t DryRun::total_bytes() const { return std::reduce(bytes.begin(), bytes.end()); }

DryRun dry_run(const Config& config, FileSystem& files, const DryRunOptions& options) {
  HostMemory host;
  const auto real = make_cpu_backend(host, cpu_options(config, options.threads));
  CountingBackend backend(*real);
  ShapeComm world(options.ranks, options.rank);
  DryRun result;
  const Platform platform{
      .world = world, .backend = backend, .host = host, .files = files, .sent = &result.sent};
  const auto training = build_training(config, platform);
  Trainer trainer(*training, platform);
  const StepReport step = trainer.step();

  result.at = training->plan.at;
  result.parameters = parameters_of(*training->model.groups);
  for (int i = 0; i < kMemoryCategories; ++i) {
    const auto category = static_cast<MemoryCategory>(i);
    result.bytes[static_cast<std::size_t>(i)] =
        backend.memory().ledger().peak(category) + host.ledger().peak(category);
  }
  result.work = backend.count();
  result.step_tokens = step.batch_tokens;
  result.step_flops = training_flops(config.model, step.batch_tokens, step.attended_pairs);
  return result;
}

}  // namespace drover
