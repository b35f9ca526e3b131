#include <algorithm>

#include "core/config/catalogue.h"
#include "core/config/config.h"
#include "core/config/node.h"
#include "core/config/values.h"

namespace drover {

namespace {

// What all readers of one configuration share.
struct Reading {
  std::vector<CatalogueEntry> known;
  std::vector<ResolvedField> resolved;
};

bool is_unquoted(const ConfigNode& node) { return node.kind == ConfigNode::Kind::scalar && !node.quoted; }

// What a field of each type may look like, for "expected ...".
const char* expectation(const std::int64_t&, Unit unit) {
  if (unit == Unit::tokens) return "a whole number (digits, or as in 500M and 2B)";
  if (unit == Unit::bytes) return "a whole number of bytes (digits, or as in 64MiB)";
  return "a whole number";
}
const char* expectation(const std::optional<std::int64_t>&, Unit unit) {
  return unit == Unit::tokens ? "a whole number (digits, or as in 500M and 2B) or null"
                              : "a whole number or null";
}
const char* expectation(const double&, Unit) { return "a number"; }
const char* expectation(const bool&, Unit) { return "true or false"; }
const char* expectation(const std::string&, Unit) { return "a word or a text"; }
const char* expectation(const std::array<double, 2>&, Unit) { return "a list of two numbers"; }
const char* expectation(const Interval&, Unit) {
  return "a number of steps above 0, or a duration such as 30s, 10min or 2h";
}
const char* expectation(const Seconds&, Unit) { return "a duration such as 30s, 10min or 2h"; }

// Whether the node is such a value, which it then becomes.
bool convert(const ConfigNode& node, Unit unit, std::int64_t& value) {
  const auto parsed = is_unquoted(node) ? parse_integer(node.text, unit) : std::nullopt;
  if (parsed) value = *parsed;
  return parsed.has_value();
}

bool convert(const ConfigNode& node, Unit unit, std::optional<std::int64_t>& value) {
  value.reset();
  return node.kind == ConfigNode::Kind::null || convert(node, unit, value.emplace());
}

bool convert(const ConfigNode& node, Unit, double& value) {
  const auto parsed = is_unquoted(node) ? parse_real(node.text) : std::nullopt;
  if (parsed) value = *parsed;
  return parsed.has_value();
}

bool convert(const ConfigNode& node, Unit, bool& value) {
  value = node.text == "true";
  return is_unquoted(node) && (value || node.text == "false");
}

bool convert(const ConfigNode& node, Unit, std::string& value) {
  const bool may_be_null = value.empty();  // as its default is
  value = node.text;
  return node.kind == ConfigNode::Kind::scalar || (node.kind == ConfigNode::Kind::null && may_be_null);
}

bool convert(const ConfigNode& node, Unit unit, std::array<double, 2>& value) {
  return node.kind == ConfigNode::Kind::sequence && node.children.size() == 2 &&
         convert(node.children[0], unit, value[0]) && convert(node.children[1], unit, value[1]);
}

bool convert(const ConfigNode& node, Unit, Seconds& value) {
  const auto parsed = is_unquoted(node) ? parse_duration(node.text) : std::nullopt;
  if (parsed) value = *parsed;
  return parsed.has_value();
}

bool convert(const ConfigNode& node, Unit, Interval& value) {
  const auto parsed = is_unquoted(node) ? parse_interval(node.text) : std::nullopt;
  if (parsed) value = *parsed;
  return parsed.has_value();
}

// Reads one section. `node` is null when the section is not in the file: then every field keeps its default.
class Reader final : public Fields {
 public:
  Reader(Reading& reading, const ConfigNode* node, const ConfigPlace& place, std::string path)
      : reading_(reading), node_(node), place_(place), path_(std::move(path)) {}

  void add(const char* key, std::int64_t& value, const FieldInfo& info) override { read(key, value, info); }
  void add(const char* key, double& value, const FieldInfo& info) override { read(key, value, info); }
  void add(const char* key, bool& value, const FieldInfo& info) override { read(key, value, info); }
  void add(const char* key, std::string& value, const FieldInfo& info) override { read(key, value, info); }
  void add(const char* key, std::optional<std::int64_t>& value, const FieldInfo& info) override {
    read(key, value, info);
  }
  void add(const char* key, std::array<double, 2>& value, const FieldInfo& info) override {
    read(key, value, info);
  }
  void add(const char* key, Interval& value, const FieldInfo& info) override { read(key, value, info); }
  void add(const char* key, Seconds& value, const FieldInfo& info) override { read(key, value, info); }

  void section(const char* key, const FieldInfo& info, FunctionRef<void(Fields&)> describe) override {
    const ConfigNode* child = take(key, info);
    if (child != nullptr && child->kind == ConfigNode::Kind::null) child = nullptr;  // `train:` and no more
    if (child != nullptr) require(*child, ConfigNode::Kind::mapping, key, "a mapping");
    read_section(child, join_path(path_, key), describe);
  }

  void optional_section(const char* key, const FieldInfo& info, bool& present,
                        FunctionRef<void(Fields&)> describe) override {
    const ConfigNode* child = take(key, info);
    if (child != nullptr) present = child->kind != ConfigNode::Kind::null;
    if (!present) {
      resolve(key, "null", info, child);
      return;
    }
    if (child != nullptr) require(*child, ConfigNode::Kind::mapping, key, "a mapping or null");
    read_section(child, join_path(path_, key), describe);
  }

  void list(const char* key, const FieldInfo& info, FunctionRef<std::size_t()> size,
            FunctionRef<void(std::size_t)> resize,
            FunctionRef<void(std::size_t, Fields&)> describe) override {
    const ConfigNode* child = take(key, info);
    const bool given = child != nullptr;
    if (given && child->kind != ConfigNode::Kind::null)
      require(*child, ConfigNode::Kind::sequence, key, "a list, as in [{...}, {...}]");
    if (given) {
      resize(0);  // nothing of a default list shines through
      resize(child->children.size());
    }
    if (size() == 0) resolve(key, "[]", info, child);
    for (std::size_t i = 0; i < size(); ++i) {
      const std::string element = cat(key, "[", i, "]");
      const ConfigNode* node = given ? &child->children[i] : nullptr;
      if (given) require(*node, ConfigNode::Kind::mapping, element, "a mapping");
      read_section(node, join_path(path_, element), [&](Fields& inner) { describe(i, inner); });
    }
  }

  void defaults_from(const std::string& origin) override { default_origin_ = origin; }

  // After all fields: an unknown key may be a misspelt one that is missing, so it goes first.
  void finish() const {
    if (node_ != nullptr) refuse_unknown();
    if (!missing_.empty()) throw usage_error(missing_);
  }

 private:
  void refuse_unknown() const {
    for (const ConfigNode& child : node_->children) {
      if (std::find(taken_.begin(), taken_.end(), child.key) != taken_.end()) continue;
      throw usage_error(child.key_place.str(), ": ", join_path(path_, child.key.substr(0, 80)),
                        ": unknown key", remedy_for_unknown(reading_.known, path_, child.key));
    }
  }

  template <class Value>
  void read(const char* key, Value& value, const FieldInfo& info) {
    const ConfigNode* child = take(key, info);
    if (child != nullptr) {
      if (!convert(*child, info.unit, value)) refuse_type(*child, key, expectation(value, info.unit));
      check(*child, key, value, info);
    }
    resolve(key, format_value(value), info, child);
  }

  // The node of a key, null if it is not given. Every key a section knows comes by here.
  const ConfigNode* take(const std::string& key, const FieldInfo& info) {
    const ConfigNode* child = find(key);
    if (*info.former != '\0') child = instead_of(child, key, find(info.former));
    const bool missing = child == nullptr || child->kind == ConfigNode::Kind::null;
    if (info.required && missing && missing_.empty())
      missing_ = cat((child != nullptr ? child->place : place_).str(), ": ", join_path(path_, key),
                     ": has no value and no default; set it (", info.meaning, ")");
    return child;
  }

  const ConfigNode* find(const std::string& key) {
    taken_.push_back(key);
    return node_ != nullptr ? node_->find(key) : nullptr;
  }

  // The node under its former name stands for the one under its name; only one of them may be there.
  const ConfigNode* instead_of(const ConfigNode* child, const std::string& key,
                               const ConfigNode* former) const {
    if (child != nullptr && former != nullptr)
      throw usage_error(former->key_place.str(), ": ", join_path(path_, former->key),
                        " is the former name of ", join_path(path_, key),
                        ", which is given too; leave it out");
    return former != nullptr ? former : child;
  }

  [[noreturn]] void refuse_type(const ConfigNode& node, const std::string& key,
                                const std::string& expected) const {
    throw usage_error(node.place.str(), ": ", join_path(path_, key), ": expected ", expected, ", found ",
                      node.describe());
  }

  void require(const ConfigNode& node, ConfigNode::Kind kind, const std::string& key,
               const char* expected) const {
    if (node.kind != kind) refuse_type(node, key, expected);
  }

  // `text_of` writes a bound as people write such a value.
  template <class TextOf>
  void check_bounds(const ConfigNode& node, const char* key, double value, const FieldInfo& info,
                    TextOf text_of) const {
    const bool low = info.at_least && value < *info.at_least, high = info.at_most && value > *info.at_most;
    if (!low && !high) return;
    throw usage_error(node.place.str(), ": ", join_path(path_, key), " is ", node.text, "; it must be at ",
                      low ? "least " : "most ", text_of(low ? *info.at_least : *info.at_most));
  }
  void check(const ConfigNode& node, const char* key, double value, const FieldInfo& info) const {
    check_bounds(node, key, value, info, format_bound);
  }
  void check(const ConfigNode& node, const char* key, const Seconds& value, const FieldInfo& info) const {
    check_bounds(node, key, value.count(), info, [](double bound) { return format_value(Seconds(bound)); });
  }
  void check(const ConfigNode& node, const char* key, std::int64_t value, const FieldInfo& info) const {
    check(node, key, static_cast<double>(value), info);
  }
  void check(const ConfigNode& node, const char* key, const std::optional<std::int64_t>& value,
             const FieldInfo& info) const {
    if (value) check(node, key, *value, info);
  }
  void check(const ConfigNode& node, const char* key, const std::string& value, const FieldInfo& info) const {
    const std::vector<std::string> choices = split_words(info.choices);
    if (choices.empty() || node.kind == ConfigNode::Kind::null) return;
    if (std::find(choices.begin(), choices.end(), value) != choices.end()) return;
    throw usage_error(node.place.str(), ": ", join_path(path_, key), " is ", node.describe(),
                      remedy_for_choice(info.choices, value));
  }
  void check(const ConfigNode&, const char*, bool, const FieldInfo&) const {}
  void check(const ConfigNode&, const char*, const std::array<double, 2>&, const FieldInfo&) const {}
  void check(const ConfigNode&, const char*, const Interval&, const FieldInfo&) const {}

  void resolve(const char* key, std::string value, const FieldInfo& info, const ConfigNode* node) {
    reading_.resolved.push_back({.path = join_path(path_, key),
                                 .value = std::move(value),
                                 .origin = node != nullptr ? node->place.origin() : default_origin_,
                                 .info = info});
  }

  void read_section(const ConfigNode* node, std::string path, FunctionRef<void(Fields&)> describe) {
    Reader inner(reading_, node, node != nullptr ? node->place : place_, std::move(path));
    inner.default_origin_ = default_origin_;
    describe(inner);
    inner.finish();
  }

  Reading& reading_;
  const ConfigNode* node_;
  const ConfigPlace& place_;  // of the section, or of the nearest one around it that is there
  std::string path_;
  std::string default_origin_ = "default";
  std::vector<std::string> taken_;
  std::string missing_;  // what to say of the first required field without a value
};

std::vector<ResolvedField> read_tree(const ConfigNode& root, DescribeConfig describe) {
  Reading reading{.known = catalogue(describe, Absent::expand), .resolved = {}};
  Reader reader(reading, &root, root.place, "");
  describe(reader);
  reader.finish();
  return std::move(reading.resolved);
}

}  // namespace

const ConfigNode* ConfigNode::find(std::string_view child_key) const {
  const auto found = std::find_if(children.begin(), children.end(),
                                  [&](const auto& child) { return child.key == child_key; });
  return found == children.end() ? nullptr : &*found;
}

ConfigNode* ConfigNode::find(std::string_view child_key) {
  return const_cast<ConfigNode*>(std::as_const(*this).find(child_key));
}

std::string ConfigNode::describe() const {
  switch (kind) {
    case Kind::null:
      return "null";
    case Kind::scalar:
      return (quoted ? "the text '" : "'") + (text.size() > 60 ? text.substr(0, 60) + "..." : text) + "'";
    case Kind::sequence:
      return cat("a list of ", children.size());
    case Kind::mapping:
      return "a mapping";
  }
  return "?";
}

std::string ConfigPlace::str() const { return line == 0 ? *name : cat(*name, ":", line, ":", column); }

std::string ConfigPlace::origin() const { return line == 0 ? "--set" : cat(*name, ":", line); }

std::vector<ResolvedField> read_config(FileSystem& files, const ConfigSource& source,
                                       DescribeConfig describe) {
  return read_tree(load_config_layers(files, source), describe);
}

std::vector<ResolvedField> read_config_text(const std::string& text, const std::string& name,
                                            DescribeConfig describe) {
  return read_tree(load_config_text(text, name), describe);
}

}  // namespace drover
