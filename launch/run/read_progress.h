// What `drover data prepare` and `train-tokenizer` show while they read.
#pragma once

#include <string>

#include "data/prepare/prepare.h"
#include "launch/run/console.h"

namespace drover {

// "41 %  1230 MB of 3000 MB  52000 documents  310.2 M tokens  24.1 MB/s  1m 13s left"; what isn't known, or is
// not counted yet, is left out.
std::string progress_line(const ReadProgress& progress);

// That line every ten seconds; on a terminal also in between, as the live line.
class ReadProgressLines {
 public:
  explicit ReadProgressLines(Console& console) : console_(console) {}  // which outlives this

  void show(const ReadProgress& progress);

 private:
  Console& console_;
  double next_seconds_ = kPlainLineSeconds;  // of the plain line
};

}  // namespace drover
