#include "launch/commands/dry_train.h"

#include <fmt/format.h>

#include <algorithm>

#include "launch/run/report.h"
#include "parallel/mesh/mesh.h"
#include "train/training.h"

namespace drover {

namespace {

std::string count_text(std::int64_t value) { return quantity_text(static_cast<double>(value)); }

// The numbers of a row, in the order of the columns.
struct Column {
  std::string name;
  std::string (*text)(std::int64_t);
  std::int64_t (*value)(const DryRun&, std::size_t);
  std::size_t index = 0;
};

std::vector<Column> all_columns() {
  std::vector<Column> columns{
      {"parameters", count_text, [](const DryRun& run, std::size_t) { return run.parameters; }}};
  for (std::size_t i = 0; i < kMemoryCategories; ++i)
    columns.push_back({std::string(name_of(static_cast<MemoryCategory>(i))), bytes_text,
                       [](const DryRun& run, std::size_t at) { return run.bytes[at]; }, i});
  columns.push_back({"memory", bytes_text, [](const DryRun& run, std::size_t) { return run.total_bytes(); }});
  columns.push_back({"FLOPs", count_text, [](const DryRun& run, std::size_t) {
                       return run.work.matmul_flops + run.work.attention_flops;
                     }});
  for (std::size_t i = 0; i < kConnectionNames.size(); ++i)
    columns.push_back({cat("sent:", kConnectionNames[i]), bytes_text,
                       [](const DryRun& run, std::size_t at) { return run.sent[at]; }, i});
  return columns;
}

using Row = std::vector<std::int64_t>;

Row row_of(const std::vector<Column>& columns, const DryRun& run) {
  Row row;
  for (const Column& column : columns) row.push_back(column.value(run, column.index));
  return row;
}

std::vector<Column> used_columns(const std::vector<DryRank>& ranks) {
  std::vector<Column> columns = all_columns();
  std::erase_if(columns, [&](const Column& column) {
    return std::all_of(ranks.begin(), ranks.end(),
                       [&](const DryRank& r) { return column.value(r.run, column.index) == 0; });
  });
  return columns;
}

std::string line(const std::string& ranks, const std::string& place, const std::vector<std::string>& cells,
                 const std::vector<Column>& columns) {
  std::string text = fmt::format("{:<9}{:<31}", ranks, place);
  for (std::size_t i = 0; i < columns.size(); ++i)
    text += fmt::format("  {:>{}}", cells[i], std::max<std::size_t>(columns[i].name.size(), 7));
  return text + "\n";
}

// Ranks to look at, in order.
std::vector<int> ranks_of(const Mesh& mesh) {
  std::vector<int> ranks;
  if (mesh.ranks() <= kMostDryRanks)
    for (int rank = 0; rank < mesh.ranks(); ++rank) ranks.push_back(rank);
  else
    for (int stage = 0; stage < mesh.size(Axis::pipeline); ++stage)
      ranks.push_back(mesh.rank({.pipeline = stage}));
  return ranks;
}

// What stands for stores that are not there.
SyntheticOptions stand_in(const Config& config) {
  return {.documents = 1'000'000,
          .vocab_size = config.model.vocab_size,
          .median_length = 400,
          .sigma = 1.5,
          .max_length = 131'072};
}

// Has synthetic documents in the place of stores that are not there yet, and no hold-out in its own; says so.
std::string replace_missing(FileSystem& files, Config& config) {
  std::string missing, said;
  for (const SourceConfig& source : config.data.sources)
    if (!files.exists(source.store)) missing += (missing.empty() ? "" : ", ") + source.store;
  if (!missing.empty()) {
    config.data.sources.clear();
    config.data.synthetic = stand_in(config);
    for (PhaseConfig& phase : config.phases) phase.sources.reset();
    said = "not there, so counted with synthetic documents of 400 tokens in the median: " + missing + "\n";
  }
  if (std::string& holdout = config.data.holdout; !holdout.empty() && !files.exists(holdout)) {
    said += "not there, so counted without evaluation: " + holdout + "\n";
    holdout.clear();
  }
  return said;
}

std::string counted(std::int64_t number, const char* what) {
  return cat(number, " ", what, number == 1 ? "" : "s");
}

std::string introduction(const Config& config, const Mesh& mesh, const DryTrainOptions& options) {
  return fmt::format("{}: {} parameters, {}, {}, ZeRO-{}, {} a rank. Nothing is trained.\n", config.run.name,
                     count_parameters(config.model).total, config.train.dtype, mesh.describe(),
                     config.parallel.zero, counted(options.threads, "thread"));
}

}  // namespace

std::string dry_run_table(const std::vector<DryRank>& ranks) {
  const std::vector<Column> columns = used_columns(ranks);
  std::vector<std::string> cells;
  for (const Column& column : columns) cells.push_back(column.name);
  std::string text = line("rank", "place", cells, columns);
  for (std::size_t i = 0; i < ranks.size();) {
    const Row row = row_of(columns, ranks[i].run);
    std::size_t end = i + 1;
    while (end < ranks.size() && row_of(columns, ranks[end].run) == row &&
           ranks[end].rank == ranks[end - 1].rank + 1)
      ++end;
    cells.clear();
    for (std::size_t c = 0; c < row.size(); ++c) cells.push_back(columns[c].text(row[c]));
    const int first = ranks[i].rank, last = ranks[end - 1].rank;
    text +=
        line(first == last ? cat(first) : cat(first, "-", last), describe(ranks[i].run.at), cells, columns);
    i = end;
  }
  return text;
}

std::string dry_train(FileSystem& files, const RunConfig& run, const DryTrainOptions& options) {
  Config config = run.config;
  const Mesh mesh = mesh_of(config, options.ranks);
  const std::string text = introduction(config, mesh, options) + replace_missing(files, config);
  check_tokenizer(config, open_sources(config, files));
  std::vector<DryRank> ranks;
  for (const int rank : ranks_of(mesh))
    ranks.push_back(
        {.rank = rank,
         .run = dry_run(config, files, {.ranks = mesh.ranks(), .rank = rank, .threads = options.threads})});
  const DryRun& first = ranks.front().run;
  return text + (mesh.ranks() > kMostDryRanks ? "The first rank of each pipeline rank:\n" : "") +
         dry_run_table(ranks) +
         fmt::format("a step: {} tokens, {:.0f} FLOPs of the model (recompute not counted)\n",
                     first.step_tokens, first.step_flops);
}

}  // namespace drover
