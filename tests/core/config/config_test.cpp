#include "core/config/config.h"

#include <limits>

#include "tests/core/config/fixture.h"

namespace drover {
namespace {

using namespace drover::testing;

TEST_CASE("what is not in the file keeps its default, and says so") {
  const Read result = read("");
  CHECK(result.car.colour == "red");
  CHECK_FALSE(result.car.doors);
  CHECK_FALSE(result.car.spare);
  CHECK(result.car.wheels.empty());
  CHECK(field(result, "engine.ratio").value == "0.5");
  for (const ResolvedField& f : result.fields) CHECK(f.origin == "default");
}

TEST_CASE("every type of field is read, with its line as origin") {
  const Read result = read(
      "colour: green\n"
      "plate: '12'\n"
      "open: true\n"
      "doors: 5\n"
      "at: [1, -2.5e-3]\n"
      "service: 10min\n"
      "engine:\n"
      "  cylinders: 8\n"
      "  budget: 1.5B\n"
      "  memory: 64MiB\n"
      "spare: {ratio: 3}\n"
      "wheels:\n"
      "  - {name: left}\n"
      "  - {name: right, size: 2}\n");
  const Car& car = result.car;
  CHECK(car.colour == "green");
  CHECK(car.plate == "12");
  CHECK(car.open);
  CHECK(car.doors == 5);
  CHECK(car.at == std::array{1.0, -2.5e-3});
  CHECK(car.service == Interval{.steps = 0, .seconds = 600});
  CHECK(car.engine.cylinders == 8);
  CHECK(car.engine.budget == 1'500'000'000);
  CHECK(car.engine.memory == 64 << 20);
  CHECK(car.spare.value().ratio == 3);
  REQUIRE(car.wheels.size() == 2);
  CHECK(car.wheels[1].name == "right");
  CHECK(field(result, "engine.budget").origin == "car.yaml:9");
  CHECK(field(result, "wheels[1].size").origin == "car.yaml:14");
  CHECK(field(result, "wheels[0].size").origin == "default");
}

TEST_CASE("a section without content is a section of defaults") {
  CHECK(read("engine:\nwheels:\nspare:\n").car.engine.cylinders == 4);
  CHECK(read("spare: {}\n").car.spare.value().cylinders == 4);
}

TEST_CASE("token counts and sizes are whole numbers in any spelling, and nothing else") {
  const auto budget = [](const std::string& text) {
    return read("engine: {budget: " + text + "}").car.engine.budget;
  };
  CHECK(budget("500M") == 500'000'000);
  CHECK(budget("2B") == 2'000'000'000);
  CHECK(budget("1.1B") == 1'100'000'000);
  CHECK(budget("0.001K") == 1);
  CHECK(budget("15.6T") == 15'600'000'000'000);
  CHECK(budget("9223372036854775807") == std::numeric_limits<std::int64_t>::max());
  for (const char* wrong : {"2b", "2 B", "1.0001K", "9223372036854775808", "1e30T", "infB", "nanB", "B", "''",
                            "'5'", "0x10", "64MiB", "[]", "null", "true"}) {
    INFO(wrong);
    CHECK(refusal(std::string("engine: {budget: ") + wrong + "}")
              .rfind("car.yaml:1:18: engine.budget: expected a whole number", 0) == 0);
  }
  CHECK(read("engine: {memory: 1.5KiB}").car.engine.memory == 1536);
  CHECK(refusal("engine: {cylinders: 2K}") ==
        "car.yaml:1:21: engine.cylinders: expected a whole number, found '2K'");
}

TEST_CASE("durations have a unit, and an interval is never zero") {
  const auto service = [](const std::string& text) { return read("service: " + text).car.service; };
  CHECK(service("30s").seconds == 30);
  CHECK(service("1.5h").seconds == 5400);
  CHECK(service("2d").seconds == 172800);
  CHECK(service("7") == Interval{.steps = 7});
  for (const char* wrong : {"0", "-1", "0s", "-3min", "10m", "s", "1.5", "infs", "null"}) {
    INFO(wrong);
    CHECK(refusal(std::string("service: ") + wrong)
              .rfind("car.yaml:1:10: service: expected a number of steps above 0, or a duration", 0) == 0);
  }
}

TEST_CASE("a duration alone is written with a unit, read back and kept within its bounds") {
  Seconds patience{600};
  const auto describe = [&](Fields& fields) {
    fields.add("patience", patience, {.meaning = "how long", .at_least = 60, .at_most = 86400});
  };
  const auto refused = [&](const std::string& text) {
    try {
      read_config_text("patience: " + text, "car.yaml", describe);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  CHECK(write_config(list_config(describe)) == "patience: 10min\n");
  CHECK(write_config(read_config_text("patience: 1.5h", "car.yaml", describe)) == "patience: 90min\n");
  CHECK(patience == Seconds(5400));
  CHECK(refused("30s") == "car.yaml:1:11: patience is 30s; it must be at least 1min");
  CHECK(refused("2d") == "car.yaml:1:11: patience is 2d; it must be at most 1d");
  for (const char* wrong : {"600", "0s", "10m", "null"})
    CHECK(refused(wrong).rfind("car.yaml:1:11: patience: expected a duration such as 30s, 10min or 2h", 0) ==
          0);
}

TEST_CASE("a value of another type is refused with its place, what was expected and what was found") {
  CHECK(refusal("open: yes") == "car.yaml:1:7: open: expected true or false, found 'yes'");
  CHECK(refusal("\nengine: {ratio: abc}") == "car.yaml:2:17: engine.ratio: expected a number, found 'abc'");
  CHECK(refusal("engine: {ratio: .inf}") == "car.yaml:1:17: engine.ratio: expected a number, found '.inf'");
  CHECK(refusal("engine: {ratio: '1'}") ==
        "car.yaml:1:17: engine.ratio: expected a number, found the text '1'");
  CHECK(refusal("at: [1]") == "car.yaml:1:5: at: expected a list of two numbers, found a list of 1");
  CHECK(refusal("colour: [red]") == "car.yaml:1:9: colour: expected a word or a text, found a list of 1");
  CHECK(refusal("colour: null") == "car.yaml:1:9: colour: expected a word or a text, found null");
  CHECK(refusal("engine: 4") == "car.yaml:1:9: engine: expected a mapping, found '4'");
  CHECK(refusal("wheels: {name: a}") ==
        "car.yaml:1:9: wheels: expected a list, as in [{...}, {...}], found a mapping");
  CHECK(refusal("wheels: [a]") == "car.yaml:1:10: wheels[0]: expected a mapping, found 'a'");
  CHECK(refusal("- a") == "car.yaml:1:1: a configuration is a mapping of sections, not a list of 1");
}

TEST_CASE("values out of range, words out of choice and missing values are refused") {
  CHECK(refusal("engine: {cylinders: 0}") == "car.yaml:1:21: engine.cylinders is 0; it must be at least 1");
  CHECK(refusal("engine: {cylinders: 65}") == "car.yaml:1:21: engine.cylinders is 65; it must be at most 64");
  CHECK(refusal("doors: 0") == "car.yaml:1:8: doors is 0; it must be at least 1");
  CHECK(refusal("colour: gren") == "car.yaml:1:9: colour is 'gren'; did you mean green?");
  CHECK(refusal("colour: mauve") == "car.yaml:1:9: colour is 'mauve'; use red, green or blue");
  CHECK(refusal("wheels: [{size: 1}]") ==
        "car.yaml:1:10: wheels[0].name: has no value and no default; set it (of the wheel)");
}

TEST_CASE("an unknown key is refused with the nearest known one") {
  CHECK(refusal("engine:\n  cylindres: 4\n") ==
        "car.yaml:2:3: engine.cylindres: unknown key; did you mean engine.cylinders?");
  CHECK(refusal("engin: {}") == "car.yaml:1:1: engin: unknown key; did you mean engine?");
  CHECK(refusal("wheels: [{nmae: a}]") ==
        "car.yaml:1:11: wheels[0].nmae: unknown key; did you mean wheels[0].name?");
  CHECK(refusal("spare: {memroy: 1}") ==
        "car.yaml:1:9: spare.memroy: unknown key; did you mean spare.memory?");
  CHECK(refusal("ratio: 1") == "car.yaml:1:1: ratio: unknown key; did you mean engine.ratio?");
  CHECK(refusal("wheels: [{name: a, sise: 2}]") ==
        "car.yaml:1:20: wheels[0].sise: unknown key; did you mean wheels[0].size?");
  CHECK(refusal("engine: {fuel: 1}") ==
        "car.yaml:1:10: engine.fuel: unknown key; engine can have cylinders, budget, memory or ratio");
  CHECK(refusal("spare: {Ratio: 1}") == "car.yaml:1:9: spare.Ratio: unknown key; did you mean spare.ratio?");
}

TEST_CASE("a key that has another name elsewhere is refused with its name here, in any section") {
  CHECK(refusal("engine: {pistons: 4}") ==
        "car.yaml:1:10: engine.pistons: unknown key; here it is called engine.cylinders (how many)");
  CHECK(refusal("pistons: 4") ==
        "car.yaml:1:1: pistons: unknown key; here it is called engine.cylinders (how many)");
  CHECK(refusal("--num-cylinders: 4") ==
        "car.yaml:1:1: --num-cylinders: unknown key; here it is called engine.cylinders (how many)");
  CHECK(refusal("motor: {}") == "car.yaml:1:1: motor: unknown key; here it is called engine (in front)");
  CHECK(refusal("spare: {pistons: 4}") ==
        "car.yaml:1:9: spare.pistons: unknown key; here it is called spare.cylinders (how many)");
}

TEST_CASE("a key that stands twice is refused with both places") {
  CHECK(refusal("open: true\nengine: {}\nopen: false\n") ==
        "car.yaml:3:1: the key 'open' stands twice, first at car.yaml:1:1; remove one");
  CHECK(refusal("engine: {ratio: 1, ratio: 1}").find("car.yaml:1:20: the key 'ratio' stands twice") == 0);
}

TEST_CASE("an override goes through the same checks and wins over the file") {
  const Read result = read_with("engine: {cylinders: 6, ratio: 1}\nwheels: [{name: a}, {name: b}]\n",
                                {"engine.cylinders=8", "engine.cylinders=12", "wheels[1].size=3", "at=[1, 2]",
                                 "spare.ratio=7", "plate=a=b"});
  CHECK(result.car.engine.cylinders == 12);
  CHECK(result.car.engine.ratio == 1);
  CHECK(result.car.wheels[1].size == 3);
  CHECK(result.car.at == std::array{1.0, 2.0});
  CHECK(result.car.spare.value().ratio == 7);
  CHECK(result.car.plate == "a=b");
  CHECK(field(result, "engine.cylinders").origin == "--set");
  CHECK(field(result, "engine.ratio").origin == "car.yaml:1");
  CHECK(read_with("wheels: [{name: a}]\n", {"wheels=[{name: b}, {name: c}]"}).car.wheels.size() == 2);
  CHECK(read_with("doors: 3\nspare: {}\n", {"doors=", "spare=null"}).car.doors == std::nullopt);
}

TEST_CASE("a wrong override is refused with its own text as the place") {
  CHECK(refusal_of_override("engine.cylindres=1") ==
        "--set engine.cylindres=1: engine.cylindres: unknown key; did you mean engine.cylinders?");
  CHECK(refusal_of_override("engine.ratio=x") ==
        "--set engine.ratio=x: engine.ratio: expected a number, found 'x'");
  CHECK(refusal_of_override("engine.ratio.x=1").find("engine.ratio: expected a number, found a mapping") !=
        std::string::npos);
  CHECK(refusal_of_override("wheels[2].size=1").find("there is no element 2, the list has 0") !=
        std::string::npos);
  CHECK(refusal_of_override("base=other.yaml").find("base: only a file") != std::string::npos);
  for (const char* wrong : {"engine", "=1", ".=1", "engine.=1", "wheels[=1", "wheels[]=1", "wheels[a]=1",
                            "wheels[-1]=1", "wheels[1=1", "wheels[1]x=1", "[0]=1", ""}) {
    INFO(wrong);
    CHECK(refusal_of_override(wrong).find("write section.key=value, for example") != std::string::npos);
  }
  CHECK(refusal_of_override("open=[").find("--set open=[: not YAML: ") == 0);
}

TEST_CASE("files are layered over their base, and every value knows which file it came from") {
  RecordingFileSystem files;
  files.make_directory("a");
  files.make_directory("a/b");
  put(files, "a/b/top.yaml", "base: ../middle.yaml\ncolour: blue\nengine: {ratio: 3}\n");
  write_text_atomically(
      files, "a/middle.yaml",
      "base: b/bottom.yaml\nengine: {ratio: 2, cylinders: 2}\nwheels: [{name: m}]\nspare: null\n");
  write_text_atomically(
      files, "a/b/bottom.yaml",
      "engine:\n  budget: 1\n  cylinders: 1\nwheels: [{name: b, size: 9}, {name: c}]\nspare: {}\n");
  const Read result = read_files(files, {.path = "a/b/top.yaml", .overrides = {}});
  CHECK(result.car.engine.ratio == 3);
  CHECK(result.car.engine.cylinders == 2);
  CHECK(result.car.engine.budget == 1);
  REQUIRE(result.car.wheels.size() == 1);  // a list is replaced
  CHECK(result.car.wheels[0].size == 1);
  CHECK_FALSE(result.car.spare);
  CHECK(field(result, "engine.ratio").origin == "a/b/top.yaml:3");
  CHECK(field(result, "engine.cylinders").origin == "a/middle.yaml:2");
  CHECK(field(result, "engine.budget").origin == "a/b/bottom.yaml:2");
  CHECK(field(result, "plate").origin == "default");
}

TEST_CASE("a cycle of bases, a base that is missing and too many bases are refused where they are named") {
  RecordingFileSystem files;
  const auto refuse = [&](const std::string& path) {
    return message_of([&] { read_files(files, {.path = path, .overrides = {}}); });
  };
  put(files, "a.yaml", "base: b.yaml\n");
  put(files, "b.yaml", "open: true\nbase: ./a.yaml\n");
  put(files, "self.yaml", "base: self.yaml\n");
  put(files, "lost.yaml", "base: nowhere.yaml\n");
  put(files, "list.yaml", "base: [a.yaml]\n");
  CHECK(refuse("a.yaml") == "b.yaml:2:7: base: a.yaml is layered under itself; remove this line");
  CHECK(refuse("self.yaml") == "self.yaml:1:7: base: self.yaml is layered under itself; remove this line");
  CHECK(refuse("lost.yaml").find("lost.yaml:1:7: base: ") == 0);
  CHECK(refuse("lost.yaml").find("nowhere.yaml") != std::string::npos);
  CHECK(refuse("list.yaml").find("list.yaml:1:7: base: expected the path of one YAML file") == 0);
  for (int i = 0; i < 20; ++i) put(files, cat("l", i, ".yaml"), cat("base: l", i + 1, ".yaml\n"));
  CHECK(refuse("l0.yaml").find("more than 16 layers") != std::string::npos);
}

TEST_CASE("what is written reads back to the same values") {
  check_round_trip({});
  Car car{.colour = "blue", .plate = "a b: #c\n\"\\\x01\xc3\xa4", .open = true, .doors = 3};
  car.at = {1.0 / 3, 5e-324};
  car.service = {.steps = 0, .seconds = 90};
  car.engine = {
      .cylinders = 64, .budget = std::numeric_limits<std::int64_t>::max(), .memory = -1, .ratio = 1e300};
  car.spare = Engine{.ratio = -0.1};
  car.wheels = {{.name = "x", .size = 1e22}, {.name = "data/a-b_c.h5", .size = 3e-4}};
  check_round_trip(car);
}

TEST_CASE("any text and any number survive writing and reading") {
  for (const char* text : {"null", "~",  "true",  "Yes",        "12",   "1e5",  "0x1f",
                           "1f1b", "-",  "- a",   "a: b",       "#",    "",     " a",
                           "a ",   "'",  "\"",    "\\",         "[",    "{}",   "&a",
                           "*a",   "!t", "%",     "@",          "`",    "|",    ">",
                           "?",    "..", "/x/y",  "2026-01-01", "a\tb", "\x7f", "\xf0\x9f\x9a\x80",
                           "=",    "<<", "1_000", "1:30"}) {
    INFO(text);
    Car car{.plate = text};
    CHECK(read(write_config(list(car))).car.plate == text);
  }
  for (const double value :
       {0.0, 1.0, 0.1, 1e-3, 9.9e-4, 3e-4, 1e15, 123456789012345.6, 1e100, -2.5, 1.7976931348623157e308}) {
    INFO(value);
    Car car;
    car.engine.ratio = value;
    CHECK(read(write_config(list(car))).car.engine.ratio == value);
  }
  for (const double seconds : {0.25, 1.0, 59.0, 60.0, 3600.0, 5400.0, 86400.0, 1e9 + 0.5}) {
    INFO(seconds);
    Car car;
    car.service = {.steps = 0, .seconds = seconds};
    CHECK(read(write_config(list(car))).car.service.seconds == seconds);
  }
}

TEST_CASE("YAML with origins has each value's origin behind it, and reads back too") {
  const Read result = read("engine: {cylinders: 6}\nwheels: [{name: a}]\n");
  const std::string text = write_config_with_origins(result.fields);
  CHECK(text.find("  cylinders: 6                                # car.yaml:1\n") != std::string::npos);
  CHECK(text.find("colour: red                                   # default\n") != std::string::npos);
  CHECK(write_config(read(text).fields) == write_config(result.fields));
}

TEST_CASE("changes of what may not change on resume are told with old value, new value and place") {
  const auto change = [](const std::string& before, const std::string& now) {
    return changed_on_resume(read(before).fields, read(now).fields);
  };
  CHECK(change("engine: {ratio: 1}", "engine:\n  ratio: 1.0").empty());
  CHECK(change("service: 5", "service: 10min").empty());
  CHECK(change("engine: {memory: 1}", "engine: {memory: 2}").empty());
  CHECK(change("engine: {ratio: 1}", "\nengine: {ratio: 2}") ==
        std::vector<std::string>{"engine.ratio was 1.0, now 2.0 (car.yaml:2)"});
  CHECK(change("wheels: [{name: a}]", "wheels: [{name: a}, {name: b}]") ==
        std::vector<std::string>{"wheels[1].name was absent, now b (car.yaml:1)",
                                 "wheels[1].size was absent, now 1.0 (default)"});
  CHECK(change("wheels: [{name: a}, {name: b}]", "wheels: [{name: a}]") ==
        std::vector<std::string>{"wheels[1].name was b, now absent", "wheels[1].size was 1.0, now absent"});
}

TEST_CASE("the page of documentation has one table a section, with bounds, choices and names elsewhere") {
  Car car;
  const std::string page = document_config([&](Fields& fields) { describe_car(fields, car); });
  CHECK(page.find("| `colour` | red, green, blue | red | of paint | no |  |\n") != std::string::npos);
  CHECK(page.find("## engine\n\n| key |") != std::string::npos);
  CHECK(page.find("| `cylinders` | whole number, at least 1, at most 64 | 4 | how many | no | num_cylinders "
                  "pistons |") != std::string::npos);
  CHECK(page.find("| `memory` | bytes | 0 | to hold | yes |  |") != std::string::npos);
  CHECK(page.find("## wheels[]\n") != std::string::npos);
  CHECK(page.find("| `name` | text | required | of the wheel | no |  |") != std::string::npos);
  CHECK_FALSE(car.spare);  // what was visited is absent again
  CHECK(car.wheels.empty());
}

}  // namespace
}  // namespace drover
