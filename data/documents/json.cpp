#include "data/documents/json.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/base/printable.h"

namespace drover {
namespace {

using Json = nlohmann::json;

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

// A name from a file, short and printable.
std::string shown(std::string_view name) {
  constexpr std::size_t kLongest = 40;
  const std::string out = printable(std::string(name.substr(0, kLongest)), '?');
  return name.size() > kLongest ? out + "..." : out;
}

// Events instead of a tree: a line may be large, and of all it holds one string is wanted.
class TextHandler final : public nlohmann::json_sax<Json> {
 public:
  TextHandler(std::string_view wanted, std::string& text) : wanted_(wanted), text_(&text) {}

  std::optional<std::string> problem() const {
    if (!problem_.empty()) return problem_;
    if (found_) return std::nullopt;
    if (!object_) return cat("neither an object nor a string");
    return cat("has no string under \"", shown(wanted_), "\" (keys: ", keys_.empty() ? "none" : keys_,
               "); name the key with --text-key, or take files as they are with --format text");
  }

  bool string(string_t& value) override {
    if (!at_document()) return true;
    *text_ = std::move(value);
    return found_ = true;
  }
  bool key(string_t& name) override {
    if (depth_ != 1) return true;
    at_wanted_key_ = name == wanted_;
    note_key(name);
    return true;
  }
  bool start_object(std::size_t) override {
    if (depth_ == 0) object_ = true;
    return open();
  }
  bool start_array(std::size_t) override { return open(); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool null() override { return other_value(); }
  bool boolean(bool) override { return other_value(); }
  bool number_integer(number_integer_t) override { return other_value(); }
  bool number_unsigned(number_unsigned_t) override { return other_value(); }
  bool number_float(number_float_t, const string_t&) override { return other_value(); }
  bool binary(binary_t&) override { return other_value(); }
  // The library's own message quotes the input, which may be a gigabyte.
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) override {
    problem_ = cat("is not valid JSON at byte ", position);
    return false;
  }

 private:
  bool at_document() const { return depth_ == 0 || (depth_ == 1 && object_ && at_wanted_key_); }
  bool open() {
    other_value();
    ++depth_;
    return true;
  }
  bool close() {
    --depth_;
    return true;
  }
  // A later value under the same key counts, as in Python's json: also when it's not a string.
  bool other_value() {
    if (at_document()) found_ = false;
    return true;
  }
  void note_key(const std::string& name) {
    constexpr int kMostKeys = 8;
    if (++key_count_ > kMostKeys + 1) return;
    keys_ += cat(key_count_ > 1 ? ", " : "", key_count_ > kMostKeys ? "..." : shown(name));
  }

  std::string_view wanted_;
  std::string* text_;
  std::string problem_;
  std::string keys_;
  int key_count_ = 0;
  std::int64_t depth_ = 0;
  bool object_ = false;  // the outermost value is one
  bool at_wanted_key_ = false;
  bool found_ = false;
};

}  // namespace

// Passes over what stands between values; false at the end of the file or of the array. Anything unexpected
// is left to be a bad value.
bool JsonValues::start_value() {
  for (std::string_view window = input_->window(); !window.empty(); window = input_->window()) {
    const char c = window.front();
    const bool opens_array = first_ && c == '[';
    const bool between = is_space(c) || opens_array || (in_array_ && c == ',');
    const bool closes_array = in_array_ && c == ']';
    if (!is_space(c)) first_ = false;
    if (opens_array) in_array_ = true;
    if (closes_array) in_array_ = false;
    if (!between && !closes_array) return true;
    input_->skip(1);
  }
  if (in_array_) throw input_error(path_, ": its array has no end; copy the file again");
  return false;
}

// True if the value is complete before `c`. Follows strings and depth only: the parser finds what is wrong
// inside. The first character always belongs to the value, so that every cut moves on.
bool JsonValues::ends_here(char c) {
  if (complete_) return true;
  if (in_string_) {
    in_string_ = escaped_ || c != '"';
    escaped_ = !escaped_ && c == '\\';
    complete_ = !in_string_ && depth_ == 0;
    return false;
  }
  if (started_ && depth_ == 0 && (is_space(c) || c == ',' || c == ']')) return true;
  started_ = true;
  in_string_ = c == '"';
  if (c == '{' || c == '[') ++depth_;
  if (c == '}' || c == ']') complete_ = --depth_ == 0;
  return false;
}

Cut JsonValues::next(std::int64_t bound, std::string& value) {
  value.clear();
  if (!start_value()) return Cut::end;
  bool too_long = false;
  depth_ = 0;
  in_string_ = escaped_ = started_ = complete_ = false;
  for (std::string_view window = input_->window(); !window.empty(); window = input_->window()) {
    const auto end = std::find_if(window.begin(), window.end(), [this](char c) { return ends_here(c); });
    const auto length = static_cast<std::size_t>(end - window.begin());
    append_bounded(value, window.substr(0, length), bound, too_long);
    input_->skip(length);
    if (end != window.end()) break;
  }
  return too_long ? Cut::too_long : Cut::found;
}

std::optional<std::string> text_of_json(std::string_view value, std::string_view key, std::string& text) {
  TextHandler handler(key, text);
  Json::sax_parse(value.begin(), value.end(), &handler);
  return handler.problem();
}

}  // namespace drover
