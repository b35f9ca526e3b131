// JSON inputs: cutting a file into values, and the text of a value. Values come from outside: nothing here
// recurses, and no memory is taken beyond the value itself.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "data/documents/stream.h"

namespace drover {

// Cuts a .json file into the values that are documents: the elements of one outermost array, or a sequence of
// values (one object, or JSON Lines under another name).
class JsonValues {
 public:
  JsonValues(ByteStream& input, std::string path) : input_(&input), path_(std::move(path)) {}

  // The next value's bytes, which may still be no JSON. One of more than `bound` bytes is passed over.
  Cut next(std::int64_t bound, std::string& value);

 private:
  bool start_value();
  bool ends_here(char c);

  ByteStream* input_;
  std::string path_;
  bool first_ = true;
  bool in_array_ = false;
  // Of the value being cut.
  std::int64_t depth_ = 0;
  bool in_string_ = false;
  bool escaped_ = false;
  bool started_ = false;
  bool complete_ = false;
};

// Puts the text of a JSON value into `text`: the string under `key` of an object (the last one, if there are
// several), or a value that is itself a string. Otherwise returns what is wrong, in words for a message.
// Invalid UTF-8 and lone surrogates are not JSON.
std::optional<std::string> text_of_json(std::string_view value, std::string_view key, std::string& text);

}  // namespace drover
