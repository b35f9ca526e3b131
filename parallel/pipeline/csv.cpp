#include "parallel/pipeline/csv.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <limits>
#include <map>

#include "core/base/error.h"
#include "core/base/words.h"
#include "parallel/pipeline/order.h"

namespace drover {

namespace {

struct Word {
  ActionKind kind = ActionKind::forward;
  int stage = 0, microbatch = 0;
};

struct Line {
  int number = 0;  // in the file, from 1
  std::vector<Word> words;
};

class Reader {
 public:
  Reader(std::string_view text, std::string_view path) : text_(text), path_(path) {}

  PipelineSchedule read() {
    read_lines();
    if (lines_.empty()) throw input_error(path_, ": has no actions; one line per pipeline rank is needed");
    PipelineSchedule schedule{.placement = placement(), .microbatches = microbatches()};
    check_complete();
    for (std::size_t rank = 0; rank < lines_.size(); ++rank)
      schedule.timelines.push_back(timeline(schedule.placement, lines_[rank]));
    check_order(schedule);
    return schedule;
  }

 private:
  template <class... Parts>
  Error error_at(int line, const Parts&... parts) const {
    return input_error(path_, ":", line, ": ", parts...);
  }

  void read_lines() {
    std::string_view rest = text_;
    for (int number = 1; !rest.empty(); ++number) {
      const std::string_view content = trimmed(take_until(rest, '\n'));
      if (content.empty() || content.front() == '#') continue;
      lines_.push_back({.number = number, .words = {}});
      for (std::string_view words = content; !words.empty();) {
        const std::string_view word = trimmed(take_until(words, ','));
        if (!word.empty()) lines_.back().words.push_back(parse(word, number));
      }
      if (lines_.back().words.empty()) throw error_at(number, "a rank without actions");
      words_ += lines_.back().words.size();
    }
  }

  Word parse(std::string_view text, int line) const {
    Word word;
    const char* const end = text.data() + text.size();
    const auto [kind, bad_stage] = std::from_chars(text.data(), end, word.stage);
    constexpr std::string_view kKinds = "FBIW";
    const std::size_t letter = kind == end ? std::string_view::npos : kKinds.find(*kind);
    const bool named = bad_stage == std::errc() && letter != std::string_view::npos;
    const auto [rest, bad_microbatch] = std::from_chars(named ? kind + 1 : end, end, word.microbatch);
    if (!named || bad_microbatch != std::errc() || rest != end || word.stage < 0 || word.microbatch < 0)
      throw error_at(line, "'", text.substr(0, 32),
                     "' is no action; write STAGE KIND MICROBATCH as in 0F3, with a kind of F, B, I or W");
    word.kind = static_cast<ActionKind>(letter);
    return word;
  }

  // Stages in the order of numbers, each with the line that names it.
  std::map<int, const Line*> lines_of_stages() const {
    std::map<int, const Line*> found;
    for (const Line& line : lines_)
      for (const Word& word : line.words) {
        const auto [at, is_new] = found.try_emplace(word.stage, &line);
        if (!is_new && at->second != &line)
          throw error_at(line.number, "stage ", word.stage, " is on line ", at->second->number,
                         " already; a stage lies on one rank");
      }
    return found;
  }

  Placement placement() {
    const std::map<int, const Line*> stages = lines_of_stages();
    std::vector<StagePlace> places;
    std::vector<int> chunks(lines_.size(), 0);
    for (const auto& [stage, line] : stages) {
      if (stage != static_cast<int>(places.size()))
        throw error_at(line->number, "there is a stage ", stage, " and no stage ", places.size());
      const auto rank = static_cast<std::size_t>(line - lines_.data());
      places.push_back({.rank = static_cast<int>(rank), .chunk = chunks[rank]++});
    }
    for (std::size_t rank = 0; rank < lines_.size(); ++rank)
      if (chunks[rank] != chunks[0])
        throw error_at(lines_[rank].number, "has ", chunks[rank], " stages, and the first rank has ",
                       chunks[0], "; all ranks have the same number");
    stages_ = places.size();
    return Placement(std::move(places));
  }

  // Every stage computes all microbatches, with at least F and B each, so there are no more than words.
  int microbatches() {
    int most = 0;
    for (const Line& line : lines_)
      for (const Word& word : line.words) {
        if (static_cast<std::size_t>(word.microbatch) >= words_)
          throw error_at(line.number, "microbatch ", word.microbatch, " in a file of ", words_,
                         " actions; they count from 0 and none is left out");
        most = std::max(most, word.microbatch);
      }
    const std::size_t count = static_cast<std::size_t>(most) + 1;
    if (2 * stages_ * count > words_)
      throw error_at(lines_[0].number, stages_, " stages and ", count, " microbatches need at least ",
                     2 * stages_ * count, " actions (F and B of each), and there are ", words_);
    microbatches_ = count;
    return most + 1;
  }

  // Each (stage, microbatch) has seen nothing, F, F I, or is done, in this order.
  void check_complete() {
    enum : std::uint8_t { nothing, forward, input, done };
    std::vector<std::uint8_t> seen(stages_ * microbatches_, nothing);
    const auto state = [&](const Word& word) -> std::uint8_t& {
      return seen[static_cast<std::size_t>(word.stage) * microbatches_ +
                  static_cast<std::size_t>(word.microbatch)];
    };
    constexpr std::uint8_t kBefore[] = {nothing, forward, forward, input};
    constexpr std::uint8_t kAfter[] = {forward, done, input, done};
    for (const Line& line : lines_)
      for (const Word& word : line.words) {
        const auto kind = static_cast<std::size_t>(word.kind);
        if (state(word) != kBefore[kind])
          throw error_at(
              line.number, text_of(word),
              " comes twice or too early; each microbatch of a stage has F and then B, or F, I and W");
        state(word) = kAfter[kind];
      }
    const auto missing = std::find_if(seen.begin(), seen.end(), [](std::uint8_t s) { return s != done; });
    if (missing == seen.end()) return;
    const auto at = static_cast<std::size_t>(missing - seen.begin());
    throw input_error(path_, ": stage ", at / microbatches_, " never ends microbatch ", at % microbatches_,
                      "; each has F and then B, or F, I and W");
  }

  static std::string text_of(const Word& word) { return cat(word.stage, letter(word.kind), word.microbatch); }

  static Timeline timeline(const Placement& placement, const Line& line) {
    Timeline actions;
    for (const Word& word : line.words)
      actions.push_back(
          {.kind = word.kind, .chunk = placement.at(word.stage).chunk, .microbatch = word.microbatch});
    return actions;
  }

  void check_order(const PipelineSchedule& schedule) const {
    try {
      execution_order(schedule);
    } catch (const Error& error) {
      throw input_error(path_, ": ", error.what());
    }
  }

  std::string_view text_, path_;
  std::vector<Line> lines_;
  std::size_t words_ = 0, stages_ = 0, microbatches_ = 0;
};

}  // namespace

PipelineSchedule read_schedule_csv(std::string_view text, std::string_view path) {
  return Reader(text, path).read();
}

std::string schedule_csv(const PipelineSchedule& schedule) {
  std::string text;
  for (std::size_t rank = 0; rank < schedule.timelines.size(); ++rank) {
    const char* separator = "";
    for (const Action& action : schedule.timelines[rank]) {
      const int stage = schedule.placement.stage(static_cast<int>(rank), action.chunk);
      text += cat(separator, stage, letter(action.kind), action.microbatch);
      separator = ",";
    }
    text += '\n';
  }
  return text;
}

}  // namespace drover
