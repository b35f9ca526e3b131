// Single values between YAML text and numbers. Pure functions.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/config/config.h"

namespace drover {

// None if the text is no such value. "500M" and "2B" need Unit::tokens, "64MiB" Unit::bytes.
std::optional<std::int64_t> parse_integer(std::string_view text, Unit unit);
std::optional<double> parse_real(std::string_view text);        // finite
std::optional<Seconds> parse_duration(std::string_view text);   // "30s", "10min", "2h", "1d"; above 0
std::optional<Interval> parse_interval(std::string_view text);  // "500", or a duration; above 0

// Text that parses back to the same value.
std::string format_value(std::int64_t value);
std::string format_value(double value);  // with a point or an exponent: 1.0, 3.0e-4
std::string format_value(bool value);
std::string format_value(const std::string& value);  // quoted where YAML needs it; empty: null
std::string format_value(const std::optional<std::int64_t>& value);
std::string format_value(const std::array<double, 2>& value);
std::string format_value(const Interval& value);
std::string format_value(const Seconds& value);
std::string format_bound(double value);  // for people: 1, 0.5, 1000000

}  // namespace drover
