#include "launch/run/profile.h"

#include <fmt/format.h>

#include "parallel/comm/agreement.h"

namespace drover {

namespace {

double microseconds(std::int64_t nanoseconds) { return 1e-3 * static_cast<double>(nanoseconds); }

std::string name_text(const Span& span) {
  return span.subject[0] == '\0' ? std::string(span.name) : cat(span.name, " ", span.subject);
}

std::string number_text(const Span& span) {
  if (span.number < 0) return "";
  return fmt::format(R"(,"args":{{"{}":{}}})",
                     span.track == Span::Track::pipeline ? "microbatch" : "sent bytes", span.number);
}

// Rows of the picture, from the top.
void name_rows(std::string& text, int rank, const std::string& rank_name) {
  const auto name = [&](const char* what, int row, const std::string& value) {
    text += fmt::format(R"({{"ph":"M","pid":{},"tid":{},"name":"{}","args":{{"name":"{}"}}}},)"
                        "\n",
                        rank, row, what, value);
  };
  name("process_name", 0, cat("rank ", rank, ", ", rank_name));
  name("thread_name", static_cast<int>(Span::Track::pipeline), "schedule");
  name("thread_name", static_cast<int>(Span::Track::compute), "verbs and waits");
}

}  // namespace

std::string trace_events(std::span<const Span> spans, int rank, const std::string& rank_name,
                         std::int64_t begin) {
  std::string text;
  name_rows(text, rank, rank_name);
  std::int64_t id = 0;
  for (const Span& span : spans) {
    const std::string common = fmt::format(R"("pid":{},"tid":{},"name":"{}","cat":"drover")", rank,
                                           static_cast<int>(span.track), name_text(span));
    const double start = microseconds(span.begin - begin), length = microseconds(span.end - span.begin);
    if (span.track != Span::Track::in_flight) {
      text += fmt::format(R"({{"ph":"X","ts":{:.3f},"dur":{:.3f},{}{}}},)"
                          "\n",
                          start, length, common, number_text(span));
      continue;
    }
    const std::string key = fmt::format(R"("id":"{}.{}",)", rank, id++);
    text += fmt::format(R"({{"ph":"b",{}"ts":{:.3f},{}{}}},)"
                        "\n",
                        key, start, common, number_text(span));
    text += fmt::format(R"({{"ph":"e",{}"ts":{:.3f},{}}},)"
                        "\n",
                        key, start + length, common);
  }
  return text;
}

ProfileShares shares_of(std::span<const Span> spans, std::int64_t nanoseconds) {
  std::int64_t computing = 0, among_ranks = 0;
  for (const Span& span : spans)
    if (span.track == Span::Track::compute)
      (span.subject[0] == '\0' ? computing : among_ranks) += span.end - span.begin;
  const auto share = [&](std::int64_t part) {
    return nanoseconds > 0 ? static_cast<double>(part) / static_cast<double>(nanoseconds) : 0;
  };
  return {.computing = share(computing), .among_ranks = share(among_ranks)};
}

void Profile::before_step(Process& process) {
  if (++step_ != kStep) return;
  process.world().barrier(process.control()).join();  // where the clocks of different hosts are set equal
  begin_ = Trace::now();
  trace_.start();
}

std::string Profile::after_step(Process& process, FileSystem& files, const std::string& rank_name) {
  if (step_ != kStep) return "";
  trace_.stop();
  end_ = Trace::now();
  write(process, files, trace_events(trace_.spans(), process.world().rank(), rank_name, begin_));
  const ProfileShares shares = shares_of(trace_.spans(), end_ - begin_);
  return fmt::format(
      "profile of this step in {}: rank 0 computed {:.1f} % of the time and spent {:.1f} % on operations "
      "between "
      "ranks{}",
      path_, 100 * shares.computing, 100 * shares.among_ranks,
      trace_.dropped() > 0 ? cat("; ", trace_.dropped(), " spans did not fit") : "");
}

void Profile::write(Process& process, FileSystem& files, std::string events) {
  std::string all;
  bring_texts_to_first(process.control(), process.world(), events,
                       [&](const std::string& of_rank) { all += of_rank; });
  process.on_first_rank([&] {
    all.resize(all.rfind(','));  // the last event's
    write_text_atomically(files, path_, "{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n" + all + "\n]}\n");
    return std::string();
  });
}

}  // namespace drover
