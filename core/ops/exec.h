// What everything that computes is given first: where (backend and stream) and with which scratch.
// Work given to one Exec runs in order. The CPU backend's stream is immediate: a verb has happened when it
// returns.
#pragma once

#include "core/tensor/memory.h"

namespace drover {

class Backend;
class PlantedBug;

// A device's queue. The CPU has one, immediate, whose handle is null; a GPU's is its cudaStream_t.
struct Stream {
  void* handle = nullptr;
};

struct Exec {
  Backend& backend;
  Arena& scratch;  // dies inside a verb or a block: take pieces under an Arena::Scope
  Stream stream = {};
  PlantedBug* planted = nullptr;  // core/watch/planted_bug.h; null but in `drover verify --inject`
};

}  // namespace drover
