#include "data/split.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <time.h>

#include <algorithm>
#include <limits>

#include "core/error.h"

namespace drover {
namespace {

constexpr std::size_t kBatch = 256;
constexpr std::size_t kPatternLimit = 1 << 16;
constexpr std::uint32_t kHeapKiB = 64 * 1024;

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

namespace {

// The pattern by one of the two tables.
class Compiled {
 public:
  Compiled(std::string_view pattern, std::string_view path, UnicodeTables tables);
  ~Compiled() { pcre2_code_free(code_); }
  Compiled(const Compiled&) = delete;

  const pcre2_code* code() const { return code_; }
  bool jit() const { return jit_; }

 private:
  pcre2_code* code_;
  bool jit_;
};

Compiled::Compiled(std::string_view pattern, std::string_view path, UnicodeTables tables) {
  const std::string translated = translate_pattern(pattern, path, tables);
  int error = 0;
  PCRE2_SIZE offset = 0;
  code_ = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                        PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &error, &offset, nullptr);
  if (!code_) {
    throw input_error(path, ": the split pattern does not compile: ", pcre2_message(error), " at offset ",
                      offset, " of '", translated, "'");
  }
  jit_ = pcre2_jit_compile(code_, PCRE2_JIT_COMPLETE) == 0;
}

}  // namespace

struct SplitPattern::Code {
  std::string pattern, path;
  Compiled library, newer;

  Code(std::string_view pattern_text, std::string_view path_text)
      : pattern(pattern_text),
        path(path_text),
        library(pattern, path, UnicodeTables::library),
        newer(pattern, path, UnicodeTables::newer) {}
};

SplitPattern::SplitPattern(std::string_view pattern, std::string_view path) {
  if (pattern.size() > kPatternLimit) {
    throw input_error(path, ": the split pattern has ", pattern.size(), " bytes, more than ", kPatternLimit);
  }
  code_ = std::make_unique<Code>(pattern, path);
  std::uint32_t may_be_empty = 0;
  pcre2_pattern_info(code_->library.code(), PCRE2_INFO_MATCHEMPTY, &may_be_empty);
  if (may_be_empty)
    throw input_error(path, ": the split pattern '", pattern,
                      "' may match nothing; make every alternative consume");
}

SplitPattern::~SplitPattern() = default;

struct Splitter::State {
  const SplitPattern::Code* pattern;
  const Compiled* compiled;  // the one for `text`
  pcre2_match_data* match;
  pcre2_match_context* context;
  pcre2_jit_stack* stack;
  std::string_view text;
  std::size_t at = 0;
  double seconds = 0;  // spent matching, over the life of this Splitter
  SplitLimits limits;
  double seconds_allowed;

  State(const SplitPattern::Code* code, const SplitLimits& bounds)
      : pattern(code),
        compiled(&code->library),
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
    const auto subject = reinterpret_cast<PCRE2_SPTR>(text.data());
    const pcre2_code* code = compiled->code();
    return compiled->jit() ? pcre2_jit_match(code, subject, text.size(), at, 0, match, context)
                           : pcre2_match(code, subject, text.size(), at, PCRE2_NO_UTF_CHECK, match, context);
  }

  [[noreturn]] void fail(const std::string& reason) const {
    throw input_error(pattern->path, ": the split pattern '", pattern->pattern, "' gave up ", at,
                      " bytes into a text of ", text.size(), ": ", reason,
                      "; use a pattern that backtracks less");
  }

  void add(std::size_t end, std::vector<std::string_view>& pieces) {
    if (end > at) pieces.push_back(text.substr(at, end - at));
    at = end;
  }

  void take_one(std::vector<std::string_view>& pieces) {
    const int found = find();
    if (found == PCRE2_ERROR_NOMATCH) return add(text.size(), pieces);
    if (found < 0) fail(pcre2_message(found));
    const PCRE2_SIZE* span = pcre2_get_ovector_pointer(match);
    add(span[0], pieces);
    add(span[1], pieces);
  }
};

Splitter::Splitter(const SplitPattern& pattern, const SplitLimits& limits)
    : state_(std::make_unique<State>(pattern.code_.get(), limits)) {}
Splitter::~Splitter() = default;
Splitter::Splitter(Splitter&&) noexcept = default;
Splitter& Splitter::operator=(Splitter&&) noexcept = default;

void Splitter::start(std::string_view text) {
  state_->text = text;
  state_->at = 0;
  state_->compiled = has_newer_characters(text) ? &state_->pattern->newer : &state_->pattern->library;
  state_->seconds_allowed += state_->limits.seconds_per_byte * double(text.size());
  state_->limit_steps();
}

void Splitter::next(std::vector<std::string_view>& pieces) {
  pieces.clear();
  const double began = thread_seconds();
  while (pieces.size() < kBatch && state_->at < state_->text.size()) state_->take_one(pieces);
  state_->seconds += thread_seconds() - began;
  if (state_->seconds > state_->seconds_allowed) {
    state_->fail(
        cat("it has taken ", state_->seconds, " s of CPU time for what should take well under a second"));
  }
}

}  // namespace drover
