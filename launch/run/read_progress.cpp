#include "launch/run/read_progress.h"

#include <iomanip>
#include <sstream>

#include "launch/run/report.h"

namespace drover {
namespace {

constexpr double kMillion = 1e6;

}  // namespace

std::string progress_line(const ReadProgress& progress) {
  const auto read = static_cast<double>(progress.bytes_read),
             total = static_cast<double>(progress.bytes_total);
  std::ostringstream line;
  line << std::fixed << std::setprecision(0);
  if (progress.bytes_total > 0) line << 100 * read / total << " %  ";
  line << read / kMillion << " MB";
  if (progress.bytes_total > 0) line << " of " << total / kMillion << " MB";
  line << "  " << progress.documents << " documents" << std::setprecision(1);
  if (progress.tokens > 0) line << "  " << static_cast<double>(progress.tokens) / kMillion << " M tokens";
  if (progress.seconds > 0) line << "  " << read / kMillion / progress.seconds << " MB/s";
  if (progress.seconds_left) line << "  " << duration_text(*progress.seconds_left) << " left";
  return line.str();
}

void ReadProgressLines::show(const ReadProgress& progress) {
  if (progress.seconds < next_seconds_) return console_.live(progress_line(progress));
  next_seconds_ = progress.seconds + kPlainLineSeconds;
  console_.print(progress_line(progress));
}

}  // namespace drover
