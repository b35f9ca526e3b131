#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <vector>

#include "core/base/child.h"
#include "core/cpu/cpu_backend.h"
#include "launch/commands/commands.h"
#include "train/peak.h"

namespace drover {

namespace {

struct Arguments {
  int threads = 1;
  std::string dtype = "bfloat16";
  LinearShape shape{.tokens = 1024, .in = 768, .out = 2048};
};

constexpr const char* kProductsHelp =
    R"(Multiplies as one linear of a model does, with every set of instructions that this processor has, and says whether
the one that Drover takes by itself is the fastest here. Nothing else should run meanwhile.

  drover bench products
  drover bench products --threads 2 --dtype float32 --tokens 4096 --in 1024 --out 4096

y = x W^T is the forward product, dx = dy W the gradient of its input, dW += dy^T x of its weights.)";

// One path's rates, in a process of its own: the library keeps to the instructions of a process's first product.
LinearRates measure_path(const Arguments& arguments, CpuPath path) {
  const auto rates = in_child([&] {
    HostMemory memory;
    const auto backend = make_cpu_backend(memory, {.threads = arguments.threads, .path = path});
    Arena scratch;
    const Exec exec{.backend = *backend, .scratch = scratch};
    return measure_linear(exec, memory, dtype_named(arguments.dtype), arguments.shape);
  });
  if (!rates) throw Error(Exit::internal, cat("the measurement of the path ", name_of(path), " died"));
  return *rates;
}

struct Measured {
  CpuPath path;
  LinearRates best;
};

// By turns, so that what else the machine does meets all paths alike.
std::vector<Measured> measure_paths(const Arguments& arguments) {
  constexpr int kTurns = 3;
  std::vector<Measured> all;
  for (const CpuPath path : runnable_cpu_paths()) all.push_back({.path = path, .best = {}});
  for (int turn = 0; turn < kTurns; ++turn) {
    for (Measured& measured : all) {
      const LinearRates now = measure_path(arguments, measured.path);
      LinearRates& best = measured.best;
      best = {.y = std::max(best.y, now.y), .dx = std::max(best.dx, now.dx), .dw = std::max(best.dw, now.dw)};
    }
  }
  return all;
}

// Whether the table of core/cpu/path.cpp is right about this processor: within what two runs differ by.
std::string verdict(const std::vector<Measured>& all, const PathChoice& choice) {
  constexpr double kAsFast = 1.1;
  const auto slower = [](const Measured& a, const Measured& b) {
    return a.best.together() < b.best.together();
  };
  const Measured& fastest = *std::max_element(all.begin(), all.end(), slower);
  const double ratio = fastest.best.together() / all[static_cast<std::size_t>(choice.path)].best.together();
  if (ratio < kAsFast) return "No path is faster here.";
  return fmt::format(
      "{} is {:.2f} times as fast here. Set cpu_path: {}, and tell Drover's developers of this "
      "processor: the choice is a table (docs/numerics.md).",
      name_of(fastest.path), ratio, name_of(fastest.path));
}

Exit bench_products(const Arguments& arguments) {
  const Processor processor = this_processor();
  const PathChoice choice = choose_path(processor);
  std::printf("%s\n", fmt::format("{} on {}, {} threads, {} tokens x {} -> {}; GFLOP/s, the best of 15",
                                  arguments.dtype, describe(processor), arguments.threads,
                                  arguments.shape.tokens, arguments.shape.in, arguments.shape.out)
                          .c_str());
  const std::vector<Measured> all = measure_paths(arguments);
  std::printf("path                 y        dx        dW  together\n");
  for (const auto& [path, best] : all)
    std::printf("%s\n", fmt::format("{:12}{:10.1f}{:10.1f}{:10.1f}{:10.1f}{}", name_of(path), best.y / 1e9,
                                    best.dx / 1e9, best.dw / 1e9, best.together() / 1e9,
                                    path == choice.path ? "  <- cpu_path: auto" : "")
                            .c_str());
  std::printf("auto is %s: %s. %s\n", std::string(name_of(choice.path)).c_str(),
              std::string(choice.basis).c_str(), verdict(all, choice).c_str());
  return Exit::done;
}

}  // namespace

void add_bench_commands(CLI::App& app, Verb& chosen) {
  CLI::App* const bench = app.add_subcommand("bench", "measure this machine");
  bench->require_subcommand(1);
  const auto arguments = std::make_shared<Arguments>();
  CLI::App* const products = bench->add_subcommand("products", "matrix products on every instruction path");
  products->footer(kProductsHelp);
  products->add_option("--threads", arguments->threads, "that compute")
      ->capture_default_str()
      ->check(CLI::Range(1, 1024));
  products->add_option("--dtype", arguments->dtype, "bfloat16, float32 or float64")
      ->capture_default_str()
      ->check(CLI::IsMember({"bfloat16", "float32", "float64"}));
  for (auto& [name, size] :
       {std::pair{"--tokens", &arguments->shape.tokens}, std::pair{"--in", &arguments->shape.in},
        std::pair{"--out", &arguments->shape.out}})
    products->add_option(name, *size, "of the linear")->capture_default_str()->check(CLI::Range(1, 65536));
  products->callback([arguments, &chosen] { chosen = [arguments] { return bench_products(*arguments); }; });
}

}  // namespace drover
