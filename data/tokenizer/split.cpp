#include "data/tokenizer/split.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <time.h>

#include <algorithm>
#include <limits>

#include "core/base/error.h"
#include "data/unicode/classes.h"

namespace drover {
namespace {

constexpr std::size_t kBatch = 256;
constexpr std::size_t kPatternLimit = 1 << 16;
constexpr std::uint32_t kHeapKiB = 64 * 1024;
// Reading the clock takes longer than splitting a few words: of short texts one in so many is timed for all.
constexpr std::size_t kShortText = 1024;
constexpr int kTimedOneIn = 64;

std::string pcre2_message(int code) {
  unsigned char text[256] = {};
  pcre2_get_error_message(code, text, sizeof text);
  return reinterpret_cast<const char*>(text);
}

// CPU time and not wall time: a stopped process or a busy machine must not look like a slow pattern.
double thread_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return double(now.tv_sec) + 1e-9 * double(now.tv_nsec);
}

}  // namespace

struct SplitPattern::Code {
  SplitRule rule;
  std::string path;
  bool properties = uses_properties(rule.pattern);
  pcre2_code* code = nullptr;
  bool jit = false;

  Code(const SplitRule& from, std::string_view path_text);
  ~Code() { pcre2_code_free(code); }
  Code(const Code&) = delete;
};

SplitPattern::Code::Code(const SplitRule& from, std::string_view path_text) : rule(from), path(path_text) {
  const std::string translated = translate_pattern(rule.pattern, path);
  int error = 0;
  PCRE2_SIZE offset = 0;
  code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                       PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &error, &offset, nullptr);
  if (!code) {
    throw input_error(path, ": the split pattern does not compile: ", pcre2_message(error), " at offset ",
                      offset, " of '", translated, "'; correct it");
  }
  jit = pcre2_jit_compile(code, PCRE2_JIT_COMPLETE) == 0;
}

SplitPattern::SplitPattern(const SplitRule& rule, std::string_view path) {
  const std::string& pattern = rule.pattern;
  if (pattern.size() > kPatternLimit) {
    throw input_error(path, ": the split pattern has ", pattern.size(), " bytes, more than ", kPatternLimit);
  }
  code_ = std::make_unique<Code>(rule, path);
  std::uint32_t may_be_empty = 0;
  pcre2_pattern_info(code_->code, PCRE2_INFO_MATCHEMPTY, &may_be_empty);
  if (may_be_empty)
    throw input_error(path, ": the split pattern '", pattern,
                      "' may match nothing; make every alternative consume");
}

SplitPattern::~SplitPattern() = default;

namespace {

// Whether a match or what lies between matches (`now`) belongs to the piece of what stands before it.
bool joins(SplitBehavior behavior, bool before, bool now) {
  switch (behavior) {
    case SplitBehavior::contiguous:
      return before == now;
    case SplitBehavior::merged_with_previous:
      return !before && now;
    case SplitBehavior::merged_with_next:
      return before && !now;
    case SplitBehavior::isolated:
    case SplitBehavior::removed:
      break;
  }
  return false;
}

}  // namespace

struct Splitter::State {
  const SplitPattern::Code* pattern;
  pcre2_match_data* match;
  pcre2_match_context* context;
  pcre2_jit_stack* stack;
  std::string_view text, subject;  // what is cut, and what the pattern looks at: of equal length
  std::size_t at = 0;
  std::string_view open;  // the last piece, which may still grow
  bool open_matched = false;
  StandIns stand_ins;
  std::string replaced;
  int short_texts = 0;
  double seconds = 0;  // spent matching, over the life of this Splitter
  SplitLimits limits;
  double seconds_allowed;

  State(const SplitPattern::Code* code, const SplitLimits& bounds)
      : pattern(code),
        match(pcre2_match_data_create(1, nullptr)),
        context(pcre2_match_context_create(nullptr)),
        stack(pcre2_jit_stack_create(32 << 10, 1 << 20, nullptr)),
        limits(bounds),
        seconds_allowed(bounds.seconds) {
    DROVER_CHECK(match && context && stack, "PCRE2 could not allocate");
    pcre2_jit_stack_assign(context, nullptr, stack);
    pcre2_set_heap_limit(context, kHeapKiB);
  }
  ~State() {
    pcre2_jit_stack_free(stack);
    pcre2_match_context_free(context);
    pcre2_match_data_free(match);
  }
  State(const State&) = delete;

  void limit_steps() {
    const std::int64_t limit = limits.steps + limits.steps_per_byte * std::int64_t(text.size());
    const auto steps =
        std::uint32_t(std::min<std::int64_t>(limit, std::numeric_limits<std::uint32_t>::max()));
    pcre2_set_match_limit(context, steps);
    pcre2_set_depth_limit(context, steps);
  }

  int find() {
    const auto bytes = reinterpret_cast<PCRE2_SPTR>(subject.data());
    const pcre2_code* code = pattern->code;
    return pattern->jit ? pcre2_jit_match(code, bytes, subject.size(), at, 0, match, context)
                        : pcre2_match(code, bytes, subject.size(), at, PCRE2_NO_UTF_CHECK, match, context);
  }

  std::string failure(const std::string& reason) const {
    return cat(pattern->path, ": the split pattern '", pattern->rule.pattern, "' gave up ", at,
               " bytes into a text of ", text.size(), ": ", reason, "; use a pattern that backtracks less");
  }

  // What lies before `end` is a match or not.
  void add(std::size_t end, bool matched, std::vector<std::string_view>& pieces) {
    if (end == at) return;
    const std::string_view part = text.substr(at, end - at);
    at = end;
    const SplitBehavior behavior = pattern->rule.behavior;
    if (behavior == SplitBehavior::isolated) return pieces.push_back(part);
    matched ^= pattern->rule.inverted;
    if (behavior == SplitBehavior::removed && matched) return;
    if (!open.empty() && joins(behavior, open_matched, matched)) {
      open = {open.data(), open.size() + part.size()};
    } else {
      close(pieces);
      open = part;
    }
    open_matched = matched;
  }

  void close(std::vector<std::string_view>& pieces) {
    if (!open.empty()) pieces.push_back(open);
    open = {};
  }

  void take_one(std::vector<std::string_view>& pieces) {
    const int found = find();
    if (found == PCRE2_ERROR_NOMATCH) return add(text.size(), false, pieces);
    if (found < 0) throw input_error(failure(pcre2_message(found)));
    const PCRE2_SIZE* span = pcre2_get_ovector_pointer(match);
    add(span[0], false, pieces);
    add(span[1], true, pieces);
  }

  // How many texts' worth of time this one is to be timed for; 0: not at all.
  int times() {
    if (text.size() >= kShortText) return 1;
    short_texts = (short_texts + 1) % kTimedOneIn;
    return short_texts == 0 ? kTimedOneIn : 0;
  }

  void fill(std::vector<std::string_view>& pieces) {
    while (pieces.size() < kBatch && at < text.size()) take_one(pieces);
    if (at == text.size()) close(pieces);
  }
};

Splitter::Splitter(const SplitPattern& pattern, const SplitLimits& limits)
    : state_(std::make_unique<State>(pattern.code_.get(), limits)) {}
Splitter::~Splitter() = default;
Splitter::Splitter(Splitter&&) noexcept = default;
Splitter& Splitter::operator=(Splitter&&) noexcept = default;

void Splitter::start(std::string_view text) {
  state_->text = text;
  state_->subject = text;
  if (state_->pattern->properties && state_->stand_ins.put(text, state_->replaced))
    state_->subject = state_->replaced;
  state_->at = 0;
  state_->open = {};
  state_->seconds_allowed += state_->limits.seconds_per_byte * double(text.size());
  state_->limit_steps();
}

void Splitter::next(std::vector<std::string_view>& pieces) {
  pieces.clear();
  const int times = state_->times();
  if (times == 0) return state_->fill(pieces);
  const double began = thread_seconds();
  state_->fill(pieces);
  state_->seconds += times * (thread_seconds() - began);
  if (state_->seconds > state_->seconds_allowed) {
    throw SplitTooSlow(Exit::input,
                       state_->failure(cat("it has taken ", state_->seconds,
                                           " s of CPU time for what should take well under a second")));
  }
}

}  // namespace drover
