// A configuration with one field of every type, and how tests read it.
#pragma once

#include "core/base/error.h"
#include "core/config/config.h"
#include "tests/support/recording_filesystem.h"
#include "tests/support/test_support.h"

namespace drover::testing {

struct Engine {
  std::int64_t cylinders = 4;
  std::int64_t budget = 1000;
  std::int64_t memory = 0;
  double ratio = 0.5;
};

struct Wheel {
  std::string name;
  double size = 1;
};

// One field of every type.
struct Car {
  std::string colour = "red", plate;
  bool open = false;
  std::optional<std::int64_t> doors;
  std::array<double, 2> at{0.9, 0.95};
  Interval service{.steps = 500};
  Engine engine;
  std::optional<Engine> spare;
  std::vector<Wheel> wheels;
};

inline void describe_engine(Fields& fields, Engine& c) {
  fields.add("cylinders", c.cylinders,
             {.meaning = "how many", .at_least = 1, .at_most = 64, .elsewhere = "num_cylinders pistons"});
  fields.add("budget", c.budget, {.meaning = "to burn", .unit = Unit::tokens});
  fields.add("memory", c.memory,
             {.meaning = "to hold", .on_resume = OnResume::may_change, .unit = Unit::bytes});
  fields.add("ratio", c.ratio, {.meaning = "of things"});
}

inline void describe_wheel(Fields& fields, Wheel& c) {
  fields.add("name", c.name, {.meaning = "of the wheel", .required = true});
  fields.add("size", c.size, {.meaning = "of the wheel"});
}

inline void describe_car(Fields& fields, Car& c) {
  fields.add("colour", c.colour, {.meaning = "of paint", .choices = "red green blue"});
  fields.add("plate", c.plate, {.meaning = "on the back"});
  fields.add("open", c.open, {.meaning = "has no roof"});
  fields.add("doors", c.doors, {.meaning = "at the sides", .at_least = 1});
  fields.add("at", c.at, {.meaning = "where it is"});
  fields.add("service", c.service, {.meaning = "how often", .on_resume = OnResume::may_change});
  fields.section("engine", {.meaning = "in front", .elsewhere = "motor"},
                 [&](Fields& inner) { describe_engine(inner, c.engine); });
  add_optional(fields, "spare", c.spare, {.meaning = "in the boot"}, describe_engine);
  add_list(fields, "wheels", c.wheels, {.meaning = "below"}, describe_wheel);
}

struct Read {
  Car car;
  std::vector<ResolvedField> fields;
};

inline Read read(const std::string& text) {
  Read result;
  result.fields =
      read_config_text(text, "car.yaml", [&](Fields& fields) { describe_car(fields, result.car); });
  return result;
}

inline Read read_files(RecordingFileSystem& files, const ConfigSource& source) {
  Read result;
  result.fields = read_config(files, source, [&](Fields& fields) { describe_car(fields, result.car); });
  return result;
}

inline void put(RecordingFileSystem& files, const std::string& path, const std::string& text) {
  files.open(path, OpenMode::create)->write(bytes_of(text), 0);
}

inline Read read_with(const std::string& text, const std::vector<std::string>& overrides) {
  RecordingFileSystem files;
  put(files, "car.yaml", text);
  return read_files(files, {.path = "car.yaml", .overrides = overrides});
}

template <class Function>
inline std::string message_of(Function function) {
  try {
    function();
  } catch (const Error& error) {
    CHECK(error.exit() == Exit::usage);
    return error.what();
  }
  return "no error";
}

inline std::string refusal(const std::string& text) {
  return message_of([&] { read(text); });
}

inline std::string refusal_of_override(const std::string& override) {
  return message_of([&] { read_with("engine: {cylinders: 6}\n", {override}); });
}

inline const ResolvedField& field(const Read& result, const std::string& path) {
  for (const ResolvedField& candidate : result.fields)
    if (candidate.path == path) return candidate;
  FAIL("no field " << path);
  return result.fields.front();
}

inline std::vector<ResolvedField> list(Car car) {
  return list_config([&](Fields& fields) { describe_car(fields, car); });
}

// The car's fields survive writing and reading.
inline void check_round_trip(const Car& car) {
  const std::string text = write_config(list(car));
  INFO(text);
  const Read again = read(text);
  CHECK(write_config(again.fields) == text);
  CHECK(write_config(list(again.car)) == text);
}

}  // namespace drover::testing
