// Layers of a configuration: a file, the files its `base` keys name under it, `--set` on top.
#include <algorithm>
#include <charconv>
#include <filesystem>

#include "core/config/node.h"

namespace drover {

namespace {

constexpr std::size_t kMaxLayers = 16;

// The later layer wins, mapping by mapping; everything else it replaces whole.
void merge_over(ConfigNode& under, ConfigNode over) {
  const bool both_mappings =
      under.kind == ConfigNode::Kind::mapping && over.kind == ConfigNode::Kind::mapping;
  if (!both_mappings) {
    under = std::move(over);
    return;
  }
  for (ConfigNode& child : over.children) {
    if (ConfigNode* same = under.find(child.key))
      merge_over(*same, std::move(child));
    else
      under.children.push_back(std::move(child));
  }
}

ConfigNode parse_layer(const std::string& text, const std::string& name) {
  const ConfigPlace document{.name = std::make_shared<const std::string>(name), .line = 1, .column = 1};
  ConfigNode root = parse_yaml(text, document);
  if (root.kind == ConfigNode::Kind::null) root = {.kind = ConfigNode::Kind::mapping, .place = document};
  if (root.kind != ConfigNode::Kind::mapping)
    throw usage_error(root.place.str(), ": a configuration is a mapping of sections, not ", root.describe());
  return root;
}

// Takes `base` out of the layer and returns it; none if there is none.
std::optional<ConfigNode> take_base(ConfigNode& root) {
  const auto found =
      std::find_if(root.children.begin(), root.children.end(), [](const auto& c) { return c.key == "base"; });
  if (found == root.children.end()) return std::nullopt;
  ConfigNode base = std::move(*found);
  root.children.erase(found);
  if (base.kind == ConfigNode::Kind::null) return std::nullopt;
  if (base.kind != ConfigNode::Kind::scalar)
    throw usage_error(base.place.str(), ": base: expected the path of one YAML file, found ",
                      base.describe());
  return base;
}

std::string read_layer_text(FileSystem& files, const std::string& path, const std::string& named_at) {
  try {
    return read_text(files, path, kMaxConfigBytes);
  } catch (const Error& error) {  // a file that is missing or too large is a mistake in the configuration
    throw usage_error(named_at.empty() ? "" : named_at + ": base: ", error.what());
  }
}

// The path of a file that `from` names beside itself, in one spelling.
std::string beside(const std::string& from, const std::string& named) {
  return (std::filesystem::path(from).parent_path() / named).lexically_normal().string();
}

void require_no_cycle(const std::vector<std::string>& chain, const std::string& path,
                      const ConfigPlace& place) {
  if (std::find(chain.begin(), chain.end(), path) != chain.end())
    throw usage_error(place.str(), ": base: ", path, " is layered under itself; remove this line");
  if (chain.size() >= kMaxLayers)
    throw usage_error(place.str(), ": base: more than ", kMaxLayers, " layers; merge some of the files");
}

ConfigNode load_file_layers(FileSystem& files, const std::string& path) {
  std::vector<std::string> chain{std::filesystem::path(path).lexically_normal().string()};
  ConfigNode merged = parse_layer(read_layer_text(files, path, ""), path);
  for (auto base = take_base(merged); base;) {
    const std::string next = beside(chain.back(), base->text);
    require_no_cycle(chain, next, base->place);
    chain.push_back(next);
    ConfigNode under = parse_layer(read_layer_text(files, next, base->place.str()), next);
    base = take_base(under);
    merge_over(under, std::move(merged));
    merged = std::move(under);
  }
  return merged;
}

// One step of an override's path: a key, or an element of a list.
struct PathStep {
  std::string key;
  std::optional<std::size_t> element;
};

[[noreturn]] void refuse_override(const ConfigPlace& place, const std::string& problem) {
  throw usage_error(place.str(), ": ", problem,
                    "; write section.key=value, for example --set optimizer.lr=1.0e-3 or "
                    "--set data.sources[0].weight=2");
}

// "sources[0]" is two steps.
void split_part(std::string_view part, const ConfigPlace& place, std::vector<PathStep>& steps) {
  const std::size_t bracket = std::min(part.find('['), part.size());
  steps.push_back({.key = std::string(part.substr(0, bracket))});
  if (steps.back().key.empty()) refuse_override(place, "a key is empty");
  for (std::string_view rest = part.substr(bracket); !rest.empty();) {
    const std::size_t close = rest.find(']');
    std::size_t element = 0;
    const char* digits = rest.data() + 1;
    if (rest.front() != '[' || close == std::string_view::npos) refuse_override(place, "a bracket is open");
    const auto [end, error] = std::from_chars(digits, rest.data() + close, element);
    if (error != std::errc() || end != rest.data() + close || close == 1)
      refuse_override(place, "an element is named by its number, from 0");
    steps.push_back({.element = element});
    rest.remove_prefix(close + 1);
  }
}

std::vector<PathStep> split_path(std::string_view path, const ConfigPlace& place) {
  std::vector<PathStep> steps;
  for (std::size_t begin = 0; begin <= path.size();) {
    const std::size_t end = std::min(path.find('.', begin), path.size());
    split_part(path.substr(begin, end - begin), place, steps);
    begin = end + 1;
  }
  if (steps.size() > static_cast<std::size_t>(kMaxConfigDepth))
    refuse_override(place, "the path is too deep");
  return steps;
}

ConfigNode& step_into(ConfigNode& node, const PathStep& step, const ConfigPlace& place) {
  if (step.element) {
    const std::size_t size = node.kind == ConfigNode::Kind::sequence ? node.children.size() : 0;
    if (*step.element >= size)
      throw usage_error(place.str(), ": there is no element ", *step.element, ", the list has ", size,
                        "; set the whole list, for example --set 'data.sources=[{store: a.h5, weight: 1}]'");
    return node.children[*step.element];
  }
  if (node.kind != ConfigNode::Kind::mapping)
    node = {.kind = ConfigNode::Kind::mapping,
            .place = place,
            .key = std::move(node.key),
            .key_place = std::move(node.key_place)};
  if (ConfigNode* child = node.find(step.key)) return *child;
  node.children.push_back({.place = place, .key = step.key, .key_place = place});
  return node.children.back();
}

void apply_override(ConfigNode& root, const std::string& text) {
  const ConfigPlace place{.name = std::make_shared<const std::string>("--set " + text.substr(0, 200))};
  const std::size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0) refuse_override(place, "no value");
  if (static_cast<std::int64_t>(text.size()) > kMaxConfigBytes) refuse_override(place, "too long");
  const std::vector<PathStep> steps = split_path(std::string_view(text).substr(0, equals), place);
  if (steps.front().key == "base")
    throw usage_error(place.str(), ": base: only a file can name the file under it; write it into the file");
  ConfigNode value = parse_yaml(std::string_view(text).substr(equals + 1), place);
  value.place = place;
  ConfigNode* target = &root;
  for (const PathStep& step : steps) target = &step_into(*target, step, place);
  value.key = std::move(target->key);
  value.key_place = place;
  *target = std::move(value);
}

}  // namespace

ConfigNode load_config_layers(FileSystem& files, const ConfigSource& source) {
  ConfigNode root = load_file_layers(files, source.path);
  for (const std::string& text : source.overrides) apply_override(root, text);
  return root;
}

ConfigNode load_config_text(const std::string& text, const std::string& name) {
  ConfigNode root = parse_layer(text, name);
  if (const auto base = take_base(root))
    throw usage_error(base->place.str(), ": base: only a file can name the file under it; remove it");
  return root;
}

}  // namespace drover
