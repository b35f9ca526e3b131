// The only file that knows yaml-cpp: its events become a ConfigNode, counted as they come.
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <map>
#include <sstream>

#include "core/config/node.h"

namespace drover {

namespace {

std::int64_t cost(const ConfigNode& node) {
  std::int64_t bytes = 64 + static_cast<std::int64_t>(node.text.size() + node.key.size());
  for (const ConfigNode& child : node.children) bytes += cost(child);
  return bytes;
}

std::int64_t depth(const ConfigNode& node) {
  std::int64_t deepest = 0;
  for (const ConfigNode& child : node.children) deepest = std::max(deepest, depth(child));
  return 1 + deepest;
}

class Builder final : public YAML::EventHandler {
 public:
  explicit Builder(const ConfigPlace& document) : last_(document) {}

  ConfigNode take() { return std::move(root_); }

  // Of a mark, or of the last one before where the parser has none, as at the end of the file.
  const ConfigPlace& place(const YAML::Mark& mark) {
    if (last_.line != 0 && !mark.is_null()) {
      last_.line = mark.line + 1;
      last_.column = mark.column + 1;
    }
    return last_;
  }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (documents_++ > 0)
      throw usage_error(at(mark), ": a second document begins here; a configuration is one document");
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    finish({.kind = ConfigNode::Kind::null, .place = place(mark)}, anchor);
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    refuse_tag(mark, tag);
    finish({.kind = ConfigNode::Kind::scalar, .quoted = tag == "!", .text = value, .place = place(mark)},
           anchor);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto found = anchored_.find(anchor);
    if (found == anchored_.end())
      throw usage_error(at(mark), ": an alias inside of what it stands for; write the value out");
    require_depth(mark, static_cast<std::int64_t>(open_.size()) + depth(found->second));
    spend(mark, cost(found->second));
    ConfigNode copy = found->second;
    copy.place = place(mark);
    attach(std::move(copy));
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(mark, tag, anchor, ConfigNode::Kind::sequence);
  }
  void OnSequenceEnd() override { close(); }

  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(mark, tag, anchor, ConfigNode::Kind::mapping);
  }
  void OnMapEnd() override { close(); }

 private:
  struct Open {
    ConfigNode node;
    YAML::anchor_t anchor = 0;
    bool has_key = false;  // of a mapping: the key was seen, its value comes next
    std::string key;
    std::map<std::string, ConfigPlace> keys;  // of a mapping: those seen
  };

  std::string at(const YAML::Mark& mark) { return place(mark).str(); }

  void refuse_tag(const YAML::Mark& mark, const std::string& tag) {
    if (tag.empty() || tag == "?" || tag == "!") return;
    throw usage_error(at(mark), ": the tag ", tag.substr(0, 80), " is not understood; leave it out");
  }

  void require_depth(const YAML::Mark& mark, std::int64_t levels) {
    if (levels > kMaxConfigDepth)
      throw usage_error(at(mark), ": nested deeper than ", kMaxConfigDepth, " levels; flatten it");
  }

  void spend(const YAML::Mark& mark, std::int64_t bytes) {
    spent_ += bytes;
    if (spent_ > kMaxConfigExpandedBytes)
      throw usage_error(at(mark), ": the document is larger than ", kMaxConfigExpandedBytes,
                        " bytes once its aliases are expanded; write less");
  }

  void open(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, ConfigNode::Kind kind) {
    refuse_tag(mark, tag);
    require_depth(mark, static_cast<std::int64_t>(open_.size()) + 1);
    open_.push_back({.node = {.kind = kind, .place = place(mark)}, .anchor = anchor});
  }

  void close() {
    Open last = std::move(open_.back());
    open_.pop_back();
    finish(std::move(last.node), last.anchor);
  }

  // A node is complete: aliases may stand for it from here on.
  void finish(ConfigNode node, YAML::anchor_t anchor) {
    const YAML::Mark nowhere = YAML::Mark::null_mark();
    spend(nowhere, 64 + static_cast<std::int64_t>(node.text.size()));
    if (anchor != 0) {
      spend(nowhere, cost(node));
      anchored_[anchor] = node;
    }
    attach(std::move(node));
  }

  void attach(ConfigNode node) {
    if (open_.empty()) {
      root_ = std::move(node);
      return;
    }
    Open& parent = open_.back();
    if (parent.node.kind == ConfigNode::Kind::mapping && !parent.has_key) {
      set_key(parent, node);
      return;
    }
    if (parent.has_key) {
      node.key = parent.key;
      node.key_place = parent.keys.at(parent.key);
      parent.has_key = false;
    }
    parent.node.children.push_back(std::move(node));
  }

  void set_key(Open& parent, const ConfigNode& node) {
    if (node.kind != ConfigNode::Kind::scalar)
      throw usage_error(node.place.str(), ": a key must be a word, not ", node.describe());
    const auto [first, inserted] = parent.keys.emplace(node.text, node.place);
    if (!inserted)
      throw usage_error(node.place.str(), ": the key ", node.describe(), " stands twice, first at ",
                        first->second.str(), "; remove one");
    parent.has_key = true;
    parent.key = node.text;
  }

  ConfigPlace last_;
  ConfigNode root_;
  std::vector<Open> open_;
  std::map<YAML::anchor_t, ConfigNode> anchored_;
  std::int64_t spent_ = 0;
  int documents_ = 0;
};

}  // namespace

ConfigNode parse_yaml(std::string_view text, const ConfigPlace& document) {
  std::istringstream stream{std::string(text)};
  Builder builder(document);
  try {
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(builder)) continue;
  } catch (const YAML::Exception& error) {
    throw usage_error(builder.place(error.mark).str(), ": not YAML: ", error.msg,
                      "; correct the syntax there or just above");
  }
  return builder.take();
}

}  // namespace drover
