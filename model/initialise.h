// The first weights: every element is a function of (seed, parameter name, global index), so any layout
// starts from the same model.
#pragma once

#include <cstdint>

#include "model/layouts.h"
#include "parallel/fsdp/parameter_group.h"

namespace drover {

// Fills this rank's masters (normal with the table's deviation, or ones), zeroes moments, and rounds masters
// into working weights.
void initialise(const Exec& exec, const ParameterTable& table, ParameterGroups& groups, std::uint64_t seed);

// Working weights from masters, after masters were loaded.
void refresh_working(const Exec& exec, ParameterGroups& groups);

}  // namespace drover
