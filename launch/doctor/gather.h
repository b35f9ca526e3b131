// Looking for the facts of `drover doctor`: what each rank says of itself, and what only ranks together can find out.
#pragma once

#include "core/config/config.h"
#include "launch/doctor/doctor.h"
#include "launch/process/process.h"

namespace drover {

struct DoctorRequest {
  ConfigSource config;  // without a path: none
  std::string run_dir;  // empty: the configuration's, else the working directory
};

// Collective. The ranks of the result are there on rank 0 only. What cannot be read or written is a fact and not an
// error; nothing that was made stays.
JobFacts gather_job_facts(Process& process, FileSystem& files, const DoctorRequest& request);

}  // namespace drover
