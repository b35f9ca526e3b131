#pragma once

// For tests of memory that processes share in place.

#include "parallel/comm/host/shared_heap.h"
#include "tests/support/test_support.h"

namespace drover {

inline bool system_gives_shared_pages() {
  SharedHeap heap;
  return heap.take(1) != nullptr;
}

}  // namespace drover

#define DROVER_NEEDS_SHARED_PAGES()                                                                \
  do {                                                                                             \
    if (!drover::system_gives_shared_pages())                                                      \
      DROVER_SKIP_TEST("huge-pages", "the system gives no huge pages of shared memory on demand"); \
  } while (false)
