// `drover doctor`: whether this host, or this job, can train.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "launch/commands/commands.h"
#include "launch/doctor/gather.h"

namespace drover {

namespace {

constexpr const char* kHelp =
    R"(Looks at the host, or at every host of a job started as training would be, and says what is wrong and what to do:
MPI and whether the ranks are one world, their places, hardware threads and binding, instructions, variables of the
environment, GPUs, shared memory, limits, memory, the run directory (it writes a small file there and removes it),
clocks, and whether all ranks have the same program and configuration.

  drover doctor
  drover doctor configs/tiny.yaml
  mpirun -n 8 drover doctor run.yaml              the same options to mpirun as for training
  srun --mpi=pmix drover doctor --run-dir /scratch/runs/mine

Exit codes: 0 nothing fails, though there may be warnings; 2 something fails.)";

std::string independent_copies(Process& process) {
  try {
    process.refuse_independent_copies();
    return "";
  } catch (const Error& error) {
    return error.what();
  }
}

// The same on every rank.
Exit report(Process& process, const JobFacts& job) {
  std::int64_t failed = 0;
  if (process.first()) {
    const std::vector<Finding> findings = diagnose(job);
    failed = worst(findings) == Health::fail;
    if (process.speaks()) std::fputs(doctor_report(job, findings).c_str(), stdout);
  }
  process.world().broadcast(process.control(), {.x = Tensor::of(&failed, {1})}).join();
  return failed != 0 ? Exit::usage : Exit::done;
}

Exit run(const DoctorRequest& request) {
  Process process;
  PosixFileSystem files;
  const auto examine = [&](const std::string& copies) {
    JobFacts job = gather_job_facts(process, files, request);
    job.independent_copies = copies;
    return report(process, job);
  };
  if (const std::string copies = independent_copies(process); !copies.empty()) return examine(copies);
  return run_as_ranks(process, [&] { return examine(""); });
}

}  // namespace

void add_doctor_command(CLI::App& app, Verb& chosen) {
  const auto request = std::make_shared<DoctorRequest>();
  CLI::App* const verb = app.add_subcommand("doctor", "check that this host, or this job, can train");
  verb->footer(kHelp);
  verb->add_option("CONFIG", request->config.path, "YAML file of a run");
  verb->add_option("--run-dir", request->run_dir, "try this folder")
      ->default_str("run.dir of CONFIG, else the working directory");
  verb->add_option("--set", request->config.overrides, "other values, with CONFIG: section.key=value ...")
      ->needs(verb->get_option("CONFIG"));
  verb->callback([request, &chosen] { chosen = [request] { return run(*request); }; });
}

}  // namespace drover
