// The single questions of `drover doctor`: what one rank's facts say on each topic. Pure.
#pragma once

#include <unordered_map>
#include <unordered_set>

#include "launch/doctor/doctor.h"

namespace drover {

// The ranks of a host, together.
struct HostFacts {
  int ranks = 0;
  std::unordered_set<int> cores;  // that one of them may run on
};

// A rank among the others.
struct DoctorView {
  const JobFacts& job;
  std::unordered_map<std::string, HostFacts> hosts;
  const RankFacts* rank = nullptr;
  int number = 0;

  explicit DoctorView(const JobFacts& facts);
  const HostFacts& host() const { return hosts.at(rank->host); }
  bool several_hosts() const { return hosts.size() > 1; }
};

// Findings without ranks, of view.rank. In the order in which the report has them.
using DoctorCheck = std::vector<Finding> (*)(const DoctorView& view);
const std::vector<DoctorCheck>& doctor_checks();

}  // namespace drover
