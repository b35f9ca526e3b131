#include "launch/process/rank_fault.h"

#include <charconv>
#include <csignal>

#include "core/base/error.h"
#include "core/base/printable.h"
#include "core/base/words.h"

namespace drover {

namespace {

constexpr const char* kForm =
    "expected kill@phase=PHASE,rank=N or stop@phase=PHASE,rank=N, where ,time=N may follow; PHASE is start, "
    "build, "
    "load, step, evaluation, save or end";

Error wrong_fault(std::string_view text, const std::string& what) {
  return usage_error("DROVER_FAULT=", printable(std::string(text), '?'), ": ", what, "; ", kForm);
}

std::int64_t number_of(std::string_view text, std::string_view word, std::int64_t at_least) {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), number);
  if (error != std::errc() || end != word.data() + word.size() || number < at_least)
    throw wrong_fault(text, cat('\'', word, "' is no number of at least ", at_least));
  return number;
}

RunPhase phase_named(std::string_view text, std::string_view word) {
  for (int phase = 0; phase < kPhases; ++phase)
    if (name_of(static_cast<RunPhase>(phase)) == word) return static_cast<RunPhase>(phase);
  throw wrong_fault(text, cat("there is no phase '", word, '\''));
}

// The value of "key=value", the next of `rest`.
std::string_view take_value(std::string_view text, std::string_view& rest, std::string_view key) {
  std::string_view value = take_until(rest, ',');
  if (take_until(value, '=') != key) throw wrong_fault(text, cat('\'', key, "=' is missing"));
  return value;
}

}  // namespace

RankFault parse_rank_fault(std::string_view text) {
  std::string_view rest = text;
  const std::string_view way = take_until(rest, '@');
  if (way != "kill" && way != "stop") throw wrong_fault(text, cat("there is no way '", way, '\''));
  RankFault fault{.way = way == "kill" ? RankFault::Way::kill : RankFault::Way::stop};
  fault.phase = phase_named(text, take_value(text, rest, "phase"));
  fault.rank = number_of(text, take_value(text, rest, "rank"), 0);
  if (!rest.empty()) fault.time = number_of(text, take_value(text, rest, "time"), 1);
  if (!rest.empty()) throw wrong_fault(text, cat('\'', rest, "' is too much"));
  return fault;
}

void RankFaultStrike::phase_begins(RunPhase phase) {
  if (phase != fault_.phase || my_rank_ != fault_.rank || ++begun_ != fault_.time) return;
  raise(fault_.way == RankFault::Way::kill ? SIGKILL : SIGSTOP);
}

}  // namespace drover
