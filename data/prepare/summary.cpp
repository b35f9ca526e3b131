#include <cmath>
#include <sstream>

#include "data/prepare/prepare.h"

namespace drover {
namespace {

// "12,345,678".
std::string grouped(std::int64_t number) {
  std::string digits = std::to_string(number);
  for (auto at = static_cast<std::int64_t>(digits.size()) - 3; at > 0; at -= 3) {
    digits.insert(static_cast<std::size_t>(at), ",");
  }
  return digits;
}

class Lines {
 public:
  void always(const std::string& line) { out_ << line << '\n'; }
  // A line for what was met, with how often.
  void met(std::int64_t count, std::string_view what) {
    if (count > 0) out_ << "  " << grouped(count) << ' ' << what << '\n';
  }
  std::string text() const { return out_.str(); }

 private:
  std::ostringstream out_;
};

std::string part_line(std::string_view name, const PartSummary& part) {
  std::string line = cat(name, ": ", grouped(part.documents), " documents, ", grouped(part.tokens),
                         " tokens, ", grouped(part.text_bytes), " bytes of text");
  if (part.tokens == 0) return line;
  const double ratio = static_cast<double>(part.text_bytes) / static_cast<double>(part.tokens);
  return cat(line, " (", std::round(ratio * 100) / 100, " bytes a token)");
}

}  // namespace

std::string describe(const PrepareSummary& summary) {
  Lines lines;
  const TextFindings& found = summary.findings;
  lines.always(cat("read ", grouped(summary.files), " files, ", grouped(summary.input_bytes), " bytes, in ",
                   std::round(summary.seconds * 10) / 10, " s"));
  lines.always(part_line(summary.holdout.documents > 0 ? "train" : "store", summary.train));
  if (summary.holdout.documents > 0) lines.always(part_line("held out", summary.holdout));
  lines.always(cat("longest document: ", grouped(found.longest_tokens), " tokens"));
  lines.met(found.empty, "documents without text, dropped");
  lines.met(found.bad, "bad documents, passed over");
  lines.met(summary.too_long, "documents above the size limit, passed over");
  lines.met(found.invalid_utf8, "documents with invalid UTF-8");
  lines.met(found.replacements, "U+FFFD in place of invalid UTF-8");
  lines.met(summary.byte_order_marks, "byte order marks, dropped");
  lines.met(found.with_crlf, "documents with CR LF, kept");
  lines.met(found.with_nul, "documents with NUL, kept");
  lines.met(found.special_names, "names of special tokens, encoded as text");
  lines.met(summary.hidden, "hidden files and folders, passed over");
  lines.met(summary.links, "symbolic links in folders, passed over");
  lines.met(summary.special_files, "pipes, sockets and devices in folders, passed over");
  return lines.text();
}

}  // namespace drover
