// A YAML document as plain values, each with its place. What config_yaml.cpp makes, config_layers.cpp merges
// and config_read.cpp reads.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/config/config.h"

namespace drover {

// Where a value was written. Lines and columns count from 1; line 0: all of `name` is the place (--set).
struct ConfigPlace {
  std::shared_ptr<const std::string> name;  // path of the file, or "--set a.b=c"
  int line = 0, column = 0;

  std::string str() const;     // "configs/tiny.yaml:7:3"
  std::string origin() const;  // "configs/tiny.yaml:7", "--set"
};

struct ConfigNode {
  enum class Kind : std::uint8_t { null, scalar, sequence, mapping };

  Kind kind = Kind::null;
  bool quoted = false;  // a scalar that was: then it is text, whatever it looks like
  std::string text;     // of a scalar
  ConfigPlace place;    // of the value
  std::string key;      // in its mapping
  ConfigPlace key_place;
  std::vector<ConfigNode> children;  // of a sequence or mapping

  const ConfigNode* find(std::string_view child_key) const;
  ConfigNode* find(std::string_view child_key);
  std::string describe() const;  // for messages: "'abc'", "a list", "a mapping", "null"
};

// One document; an empty one is null. `document` is where it begins, with line 0 if places inside of it need
// no lines. Error{usage} with the place for what is not YAML, tags, keys that are not scalars or stand twice
// in a mapping, and what exceeds the bounds below.
ConfigNode parse_yaml(std::string_view text, const ConfigPlace& document);

constexpr std::int64_t kMaxConfigBytes = std::int64_t{1} << 20;  // of a file
constexpr std::int64_t kMaxConfigDepth = 32;                     // of nesting
constexpr std::int64_t kMaxConfigExpandedBytes = std::int64_t{8}
                                                 << 20;  // aliases expanded, 64 a node and its text

// The layers of `source` as one tree; `base` keys are gone.
ConfigNode load_config_layers(FileSystem& files, const ConfigSource& source);
// One layer without files; `base` is refused.
ConfigNode load_config_text(const std::string& text, const std::string& name);

}  // namespace drover
