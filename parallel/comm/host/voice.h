// When a job ends in failure, many of its processes find the same wrong at the same time. One of each host says it.
#pragma once

#include <string>

namespace drover {

// Prints the text on stderr, as the last that this process prints, unless another process of this host has done so
// that the same launcher started. Any thread; needs no MPI.
void say_for_host(const std::string& text) noexcept;

}  // namespace drover
