// Strict configuration: YAML in, structs out, every value's origin known. YAML itself stays in config.cpp.
//
// A component describes its settings once, in a function that visits every field:
//
//   void describe(Fields& fields, OptimizerConfig& c) {
//     fields.add("lr", c.lr, {.meaning = "peak learning rate", .on_resume = OnResume::may_change});
//   }
//
// and that one description reads YAML and `--set a.b=c`, prints resolved values with their origin, writes the
// run's config.yaml, generates docs/config.md, and says what may change on resume.
//
// Errors: Error{usage} "configs/tiny.yaml:7:3: optimizer.learning_rate: unknown key; did you mean
// optimizer.lr?". Untrusted: file size, depth and the number of nodes are bounded, so an alias bomb ends with
// a message.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/filesystem.h"
#include "core/function_ref.h"

namespace drover {

enum class OnResume : std::uint8_t { fixed, may_change };

// How a number may be written beside plain digits.
enum class Unit : std::uint8_t {
  none,
  tokens,  // 500M, 2B
  bytes,   // 64MiB
};

struct FieldInfo {
  const char* meaning = "";
  OnResume on_resume = OnResume::fixed;
  Unit unit = Unit::none;
  bool required = false;
};

// What a visitor of fields can be told. Keys are the last part of a path; sections nest.
class Fields {
 public:
  virtual ~Fields() = default;

  virtual void add(const char* key, std::int64_t& value, const FieldInfo& info) = 0;
  virtual void add(const char* key, double& value, const FieldInfo& info) = 0;
  virtual void add(const char* key, bool& value, const FieldInfo& info) = 0;
  virtual void add(const char* key, std::string& value, const FieldInfo& info) = 0;
  virtual void add(const char* key, std::optional<std::int64_t>& value, const FieldInfo& info) = 0;
  virtual void add(const char* key, std::array<double, 2>& value, const FieldInfo& info) = 0;
  // A nested mapping: `describe` adds its fields.
  virtual void section(const char* key, const FieldInfo& info, FunctionRef<void(Fields&)> describe) = 0;
  // A mapping that may be absent. `present` says whether it is (writing) or is told (reading), before
  // describe is called.
  virtual void optional_section(const char* key, const FieldInfo& info, bool& present,
                                FunctionRef<void(Fields&)> describe) = 0;
  // A list of mappings. `resize` is told the number when reading; `size` says it when writing.
  virtual void list(const char* key, const FieldInfo& info, FunctionRef<std::size_t()> size,
                    FunctionRef<void(std::size_t)> resize,
                    FunctionRef<void(std::size_t, Fields&)> describe) = 0;
  // Another name's users know for a key of this section: found, it is an error that names ours.
  virtual void known_elsewhere(const char* key, const char* ours) = 0;
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
}

// One resolved value, for `drover config`, resume checks and docs.
struct ResolvedField {
  std::string path;    // "optimizer.lr"
  std::string value;   // as YAML
  std::string origin;  // "default", "configs/tiny.yaml:7", "--set"
  FieldInfo info;
};

using DescribeConfig = FunctionRef<void(Fields&)>;

struct ConfigSource {
  std::string path;                    // of the YAML file; its `base:` files are layered under it
  std::vector<std::string> overrides;  // "optimizer.lr=1e-3", last wins
};

// Fills the structs behind `describe`. Unknown keys, wrong types and duplicate keys are errors with line and
// column. Returns every field with its origin, in the order of description.
std::vector<ResolvedField> read_config(FileSystem& files, const ConfigSource& source,
                                       DescribeConfig describe);

// The same from YAML text; `name` stands for the path in messages.
std::vector<ResolvedField> read_config_text(const std::string& text, const std::string& name,
                                            DescribeConfig describe);

// YAML that read_config reads back to the same values.
std::string write_config(DescribeConfig describe);

// Markdown: one table a section, with key, type, default, meaning, whether it may change on resume.
std::string document_config(DescribeConfig describe);

// The fields whose values differ and may not change on resume.
std::vector<std::string> changed_on_resume(std::span<const ResolvedField> before,
                                           std::span<const ResolvedField> now);

}  // namespace drover
