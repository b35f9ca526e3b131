// Configurations from outside: whatever is in them, they end with a message that names a place.
#include "core/config/config.h"

#include <random>

#include "tests/core/config/fixture.h"

namespace drover {
namespace {

using namespace drover::testing;

TEST_CASE("what is not one plain YAML document is refused with its place") {
  CHECK(refusal("open:\n  [").find("car.yaml:2:1: not YAML: ") == 0);
  CHECK(refusal("open: true\n  a: b\n").find("car.yaml:2:") == 0);
  CHECK(refusal("open: *roof\n").find("car.yaml:1:7: not YAML: ") == 0);
  CHECK(refusal("open: true\n---\nopen: false\n").find("a second document begins here") != std::string::npos);
  CHECK(
      refusal("open: !!bool true\n").find("car.yaml:1:7: the tag tag:yaml.org,2002:bool is not understood") ==
      0);
  CHECK(refusal("{a: 1}: 2\n").find("car.yaml:1:1: a key must be a word, not a mapping") == 0);
  CHECK(refusal("[a]: 2\n").find("car.yaml:1:1: a key must be a word, not a list of 1") == 0);
  CHECK(refusal("base: other.yaml\n").find("car.yaml:1:7: base: only a file") == 0);
}

TEST_CASE("aliases stand for what they name") {
  const Read result = read("engine: &e {cylinders: 8, ratio: 2}\nspare: *e\n");
  CHECK(result.car.spare.value().cylinders == 8);
  CHECK(field(result, "spare.ratio").origin == "car.yaml:1");
}

std::string repeat(const std::string& text, std::size_t count) {
  std::string result;
  for (std::size_t i = 0; i < count; ++i) result += text;
  return result;
}

std::string alias_bomb(int levels) {
  std::string text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < levels; ++i) {
    const std::string below = cat("*a", i - 1);
    text += cat("a", i, ": &a", i, " [", below, repeat(", " + below, 9), "]\n");
  }
  return text;
}

TEST_CASE("an alias bomb ends with a message") {
  CHECK(refusal(alias_bomb(20)).find("once its aliases are expanded; write less") != std::string::npos);
  const std::string large(100'000, 'x');
  CHECK(refusal("a: &a " + large + "\nb: [*a" + repeat(", *a", 1000) + "]\n").find("once its aliases") !=
        std::string::npos);
  CHECK(refusal("a: &a [*a]\n").find("an alias inside of what it stands for") != std::string::npos);
  std::string chain = "a0: &a0 x\n";
  for (int i = 1; i < 100; ++i) chain += cat("a", i, ": &a", i, " [*a", i - 1, "]\n");
  CHECK(refusal(chain).find("nested deeper than 32 levels") != std::string::npos);
}

TEST_CASE("deep nesting in any style ends with a message") {
  for (const char* opening : {"[", "{a: ", "- ", "? ", "[{a: "}) {
    for (const std::size_t depth : {40u, 1000u, 100'000u}) {
      INFO(opening << " x " << depth);
      CHECK(refusal("a: " + std::string(opening[0] == '-' || opening[0] == '?' ? "\n  " : "") +
                    repeat(opening, depth))
                .find("nested deeper than 32 levels") != std::string::npos);
    }
  }
  CHECK(refusal("a: [[1]]").find("a: unknown key") != std::string::npos);
}

TEST_CASE("a file of 10 MB is refused before it is read") {
  const std::string message = message_of([] { read_with(std::string(10 << 20, '#'), {}); });
  CHECK(message == "car.yaml has 10485760 bytes, more than the 1048576 it may have; is it the right file?");
  CHECK(message_of([] {
          RecordingFileSystem files;
          read_files(files, {.path = "none.yaml", .overrides = {}});
        }).find("none.yaml") != std::string::npos);
}

TEST_CASE("many keys are read in time that grows with their number") {
  std::string text;
  for (int i = 0; i < 50'000; ++i) text += cat("key", i, ": 1\n");
  CHECK(refusal(text).find("car.yaml:1:1: key0: unknown key") == 0);
}

// One of a few kinds of damage at a random place.
void damage(std::string& text, std::mt19937& random) {
  const std::vector<std::string> pieces{"[",     "}",
                                        ": ",    "\n- ",
                                        "&a ",   "*a",
                                        "'",     "|\n",
                                        "!x ",   "? ",
                                        "---\n", "%YAML 9\n",
                                        "\t",    std::string(1, '\0'),
                                        "\xff",  "\xef\xbb\xbf",
                                        "<<: *a"};
  const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
  const std::size_t at = below(text.size());
  switch (below(4)) {
    case 0:
      text.insert(at, pieces[below(pieces.size())]);
      break;
    case 1:
      text.erase(at, 1 + below(4));
      break;
    case 2:
      text[at] = static_cast<char>(random());
      break;
    case 3:
      text.insert(at, text.substr(below(text.size()), below(20)));
      break;
  }
}

TEST_CASE("however a file is damaged, it reads or the message starts with a place in it") {
  const std::string whole =
      "colour: red\nplate: &a 'x y'\nopen: true\nat: [0.5, 1.0e-3]\nservice: 10min\n"
      "engine:\n  cylinders: 4\n  budget: 500M\nspare: {ratio: 1}\nwheels:\n  - name: *a\n    size: 2\n";
  CHECK(read(whole).car.wheels.size() == 1);
  std::mt19937 random(3);
  int accepted = 0, refused = 0;
  for (int i = 0; i < 5000; ++i) {
    std::string text = whole;
    for (int n = 0; n <= i % 4; ++n) damage(text, random);
    try {
      read(text);
      ++accepted;
    } catch (const Error& error) {
      ++refused;
      INFO(text);
      CHECK(error.exit() == Exit::usage);
      CHECK(std::string(error.what()).find("car.yaml:") == 0);
    }
  }
  CHECK(accepted > 50);  // both happen
  CHECK(refused > 1000);
}

}  // namespace
}  // namespace drover
