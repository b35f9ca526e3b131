// Strict configuration: YAML in, structs out, every value's origin known. YAML itself stays in
// config_yaml.cpp.
//
// A component describes its settings once, in a function that visits every field:
//
//   void describe(Fields& fields, OptimizerConfig& c) {
//     fields.add("lr", c.lr, {.meaning = "peak learning rate", .on_resume = OnResume::may_change});
//   }
//
// and that one description reads YAML and `--set a.b=c`, prints resolved values with their origin, writes the
// run's config.yaml, generates docs/config.md, and says what may change on resume. The values the structs
// have before reading are the defaults.
//
// Errors: Error{usage} "configs/tiny.yaml:7:3: optimizer.learning_rate: unknown key; here it is called
// optimizer.lr". Untrusted: file size, depth, and the size of what aliases expand to are bounded, so an alias
// bomb ends with a message.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/base/function_ref.h"
#include "core/files/filesystem.h"

namespace drover {

enum class OnResume : std::uint8_t { fixed, may_change };

// How a number may be written beside plain digits.
enum class Unit : std::uint8_t {
  none,
  tokens,  // 500M, 2B: K, M, B, T are powers of 1000
  bytes,   // 64MiB: KiB, MiB, GiB, TiB are powers of 1024
};

// The strings are literals: resolved fields keep pointing to them.
struct FieldInfo {
  const char* meaning = "";
  OnResume on_resume = OnResume::fixed;
  Unit unit = Unit::none;
  bool required = false;
  std::optional<double> at_least, at_most;  // of a number; of a duration in seconds
  const char* choices = "";                 // of a string: the words it can be, separated by spaces
  const char* former = "";     // name of the key in configurations of older runs, which still read
  const char* elsewhere = "";  // other names users know for the key, separated by spaces:
                               // found in a file, they are an error that names ours
};

// How often something is done: every so many steps, or every so many seconds.
struct Interval {
  std::int64_t steps = 0;  // 0 when `seconds` is set
  double seconds = 0;

  bool operator==(const Interval&) const = default;
};

// How long; with a unit: 30s, 10min.
using Seconds = std::chrono::duration<double>;

// What a visitor of fields can be told. Keys are the last part of a path; sections nest.
class Fields {
 public:
  virtual ~Fields() = default;

  virtual void add(const char* key, std::int64_t& value, const FieldInfo& info) = 0;
  virtual void add(const char* key, double& value, const FieldInfo& info) = 0;
  virtual void add(const char* key, bool& value, const FieldInfo& info) = 0;
  virtual void add(const char* key, std::string& value, const FieldInfo& info) = 0;  // empty is null in YAML
  virtual void add(const char* key, std::optional<std::int64_t>& value, const FieldInfo& info) = 0;
  virtual void add(const char* key, std::array<double, 2>& value, const FieldInfo& info) = 0;
  virtual void add(const char* key, Interval& value, const FieldInfo& info) = 0;  // 500, or 10min
  virtual void add(const char* key, Seconds& value, const FieldInfo& info) = 0;   // 10min
  // A nested mapping: `describe` adds its fields.
  virtual void section(const char* key, const FieldInfo& info, FunctionRef<void(Fields&)> describe) = 0;
  // A mapping that may be absent. `present` says whether it is, and is told when reading. `describe` is
  // called with the section there, or not at all.
  virtual void optional_section(const char* key, const FieldInfo& info, bool& present,
                                FunctionRef<void(Fields&)> describe) = 0;
  // A list of mappings. `resize` is told the number when reading; `size` says it when writing.
  virtual void list(const char* key, const FieldInfo& info, FunctionRef<std::size_t()> size,
                    FunctionRef<void(std::size_t)> resize,
                    FunctionRef<void(std::size_t, Fields&)> describe) = 0;
  // Fields of this section that follow have defaults of this origin ("preset llama3-8b").
  virtual void defaults_from(const std::string& origin) = 0;
};

// A list of structs with a describe(Fields&, Element&).
template <class Element, class Describe>
void add_list(Fields& fields, const char* key, std::vector<Element>& elements, const FieldInfo& info,
              Describe describe) {
  fields.list(
      key, info, [&] { return elements.size(); }, [&](std::size_t n) { elements.resize(n); },
      [&](std::size_t i, Fields& inner) { describe(inner, elements[i]); });
}

template <class Section, class Describe>
void add_optional(Fields& fields, const char* key, std::optional<Section>& value, const FieldInfo& info,
                  Describe describe) {
  bool present = value.has_value();
  fields.optional_section(key, info, present, [&](Fields& inner) {
    if (!value) value.emplace();
    describe(inner, *value);
  });
  if (!present) value.reset();
}

// One resolved value, for `drover config`, resume checks and docs. A list without elements is one field with
// the value "[]", a section that is absent one with the value "null".
struct ResolvedField {
  std::string path;    // "optimizer.lr", "data.sources[0].store"
  std::string value;   // as YAML
  std::string origin;  // "default", "configs/tiny.yaml:7", "--set"
  FieldInfo info;
};

using DescribeConfig = FunctionRef<void(Fields&)>;

struct ConfigSource {
  std::string path;  // of the YAML file. The file its key `base` names, relative to it, is layered under it
  std::vector<std::string> overrides;  // "optimizer.lr=1e-3", "data.sources[0].weight=2"; the last wins
};

// Fills the structs behind `describe`. Unknown keys, wrong types and duplicate keys are errors with line and
// column. Layers merge mapping by mapping; lists and scalars are replaced. Returns every field with its
// origin, in the order of description.
std::vector<ResolvedField> read_config(FileSystem& files, const ConfigSource& source,
                                       DescribeConfig describe);

// The same from YAML text; `name` stands for the path in messages. `base` is refused.
std::vector<ResolvedField> read_config_text(const std::string& text, const std::string& name,
                                            DescribeConfig describe);

// Every field with the value it has now, all of origin "default".
std::vector<ResolvedField> list_config(DescribeConfig describe);

// YAML that read_config reads back to the same values; with origins, each line ends in a comment that says
// where its value came from.
std::string write_config(std::span<const ResolvedField> fields);
std::string write_config_with_origins(std::span<const ResolvedField> fields);

// Markdown: one table a section, with key, values, default, meaning, whether it may change on resume.
std::string document_config(DescribeConfig describe);

// One line for each field whose value differs and may not change on resume: "train.batch_tokens was 1024, now
// 2048 (configs/tiny.yaml:9)".
std::vector<std::string> changed_on_resume(std::span<const ResolvedField> before,
                                           std::span<const ResolvedField> now);

}  // namespace drover
