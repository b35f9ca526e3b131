#include "core/base/json_text.h"

#include "tests/support/test_support.h"

namespace drover {

TEST_CASE("depth counts the brackets outside of strings") {
  CHECK_FALSE(json_is_deeper_than(R"({"a": [1, {"b": 2}], "c": [[]]})", 3));
  CHECK(json_is_deeper_than(R"({"a": [1, {"b": 2}]})", 2));
  CHECK_FALSE(json_is_deeper_than(R"(["[[[[", "\"[[[[", "\\"])", 1));
  CHECK(json_is_deeper_than(R"(["\\", [1]])", 1));
  CHECK_FALSE(json_is_deeper_than("", 0));
  CHECK_FALSE(json_is_deeper_than("\"\\", 0));
  CHECK(json_is_deeper_than(std::string(1'000'000, '['), 32));
}

TEST_CASE("a byte has a line and a column, both from 1") {
  CHECK(place_in("ab\ncd", 0) == ":1:1");
  CHECK(place_in("ab\ncd", 1) == ":1:2");
  CHECK(place_in("ab\ncd", 3) == ":2:1");
  CHECK(place_in("ab\ncd", 99) == ":2:3");
}

}  // namespace drover
