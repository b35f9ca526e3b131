#include "core/watch/stream_sanitizer.h"

#include <algorithm>

namespace drover {

namespace {

std::int64_t entry(const std::vector<std::int64_t>& clock, std::size_t line) {
  return line < clock.size() ? clock[line] : 0;
}

// "matmul reads a, float32[4, 8]"
template <class Touch>
std::string words(const Touch& touch) {
  return cat(touch.by, touch.writes ? " writes " : " reads ", touch.operand, ", ", touch.tensor.describe());
}

template <class Touch>
void require_apart(const Touch& one, const Touch& other, std::string_view why_unordered) {
  const bool conflict = (one.writes || other.writes) && overlap(one.tensor, other.tensor);
  DROVER_CHECK(!conflict, "unordered accesses to the same bytes: ", words(one), "; ", words(other),
               why_unordered);
}

template <class Use>
void each_tensor(std::span<const Operand> operands, Use use) {
  for (const Operand& operand : operands)
    for (const Tensor& x : operand.tensors)
      if (x.data != nullptr && x.numel() > 0) use(operand, x);
}

}  // namespace

std::size_t StreamSanitizer::line_of(Stream stream) {
  for (std::size_t i = kHost + 1; i < lines_.size(); ++i)
    if (lines_[i].stream.handle == stream.handle) return i;
  lines_.push_back({.stream = stream});
  return lines_.size() - 1;
}

void StreamSanitizer::merge(std::size_t line, const Clock& before) {
  Clock& clock = lines_[line].before;
  clock.resize(lines_.size());
  for (std::size_t i = 0; i < before.size(); ++i) clock[i] = std::max(clock[i], before[i]);
}

StreamSanitizer::Line& StreamSanitizer::advance(std::size_t line) {
  merge(line, {});
  Line& advanced = lines_[line];
  advanced.before[line] = ++advanced.now;
  return advanced;
}

// What the host gives a stream comes after what the host knows.
StreamSanitizer::Line& StreamSanitizer::advance_stream(Stream stream) {
  const std::size_t line = line_of(stream);
  merge(line, lines_[kHost].before);
  return advance(line);
}

std::string_view StreamSanitizer::keep(std::string_view name) {
  const auto found = names_.find(name);
  return found != names_.end() ? *found : *names_.emplace(name).first;
}

void StreamSanitizer::check(const Touch& touch, const Clock& before) const {
  for (const Operation& operation : operations_)
    if (operation.in_flight)
      for (const Touch& other : operation.touches)
        require_apart(touch, other, ", is in flight and was not waited for");
  for (std::size_t i = 0; i < lines_.size(); ++i) {
    const std::int64_t known = entry(before, i);
    if (known == lines_[i].now) continue;
    for (const auto& [place, dated] : lines_[i].touched)
      if (dated.at > known)
        require_apart(
            touch, dated.touch,
            i == kHost ? ", which nothing orders before it" : " on a stream that was not waited for");
  }
}

void StreamSanitizer::record(Line& line, const Touch& touch) {
  const Tensor& x = touch.tensor;
  line.touched[{x.data, x.dtype, x.dims, x.strides, touch.writes}] = {.touch = touch, .at = line.now};
}

void StreamSanitizer::act(Line& line, std::string_view name, std::span<const Operand> operands) {
  const std::string_view by = keep(name);
  each_tensor(operands, [&](const Operand& operand, const Tensor& x) {
    const Touch touch{.tensor = x, .writes = is_written(operand.access), .by = by, .operand = operand.name};
    check(touch, line.before);
    record(line, touch);
  });
}

void StreamSanitizer::verb(Stream stream, std::string_view name, std::span<const Operand> operands) {
  if (inside_ > 0) return;
  act(advance_stream(stream), name, operands);
}

void StreamSanitizer::host(std::string_view name, std::span<const Operand> operands) {
  act(advance(kHost), name, operands);
}

void StreamSanitizer::synchronize(Stream stream) {
  merge(kHost, advance_stream(stream).before);
  forget_known();
}

// What every line comes after, nothing can be unordered with.
void StreamSanitizer::forget_known() {
  for (std::size_t i = 0; i < lines_.size(); ++i)
    if (std::all_of(lines_.begin(), lines_.end(),
                    [&](const Line& line) { return entry(line.before, i) == lines_[i].now; }))
      lines_[i].touched.clear();
}

int StreamSanitizer::start(Stream stream, std::string_view name, std::span<const Operand> operands) {
  const std::string_view by = keep(name);
  const Clock& before = advance_stream(stream).before;
  touches_.clear();
  each_tensor(operands, [&](const Operand& operand, const Tensor& x) {
    touches_.push_back(
        {.tensor = x, .writes = is_written(operand.access), .by = by, .operand = operand.name});
    check(touches_.back(), before);
  });
  auto free = std::find_if(operations_.begin(), operations_.end(),
                           [](const Operation& operation) { return !operation.in_flight; });
  if (free == operations_.end()) free = operations_.emplace(free);
  free->in_flight = true;
  free->before = before;
  free->touches.swap(touches_);
  return static_cast<int>(free - operations_.begin());
}

StreamSanitizer::Operation& StreamSanitizer::take(int number) {
  Operation& operation = operations_.at(static_cast<std::size_t>(number));
  DROVER_CHECK(operation.in_flight, "operation ", number, " has ended");
  operation.in_flight = false;
  return operation;
}

// From here on it is part of the line's past: only who comes after that comes after it.
void StreamSanitizer::wait(int number, Stream stream) {
  const Operation& operation = take(number);
  merge(line_of(stream), operation.before);
  Line& line = advance_stream(stream);
  for (const Touch& touch : operation.touches) record(line, touch);
}

void StreamSanitizer::join(int number) {
  const Operation& operation = take(number);
  merge(kHost, operation.before);
  Line& host = advance(kHost);
  for (const Touch& touch : operation.touches) record(host, touch);
}

void StreamSanitizer::abandon(int number) { take(number); }

}  // namespace drover
