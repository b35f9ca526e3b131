// A file system in memory that records every change, can be cut off after any of them as by a killed process
// or a power cut, and fails on demand. It keeps for every file and directory what readers see and what has
// been synced.
#pragma once

#include <algorithm>
#include <cerrno>
#include <map>
#include <mutex>

#include "core/files/filesystem.h"

namespace drover {

// What survives of changes that were not synced.
enum class Crash : std::uint8_t {
  process,  // all: the process died, the kernel lives
  power,    // nothing
  names,    // names and sizes, but unsynced bytes read as zeros (metadata may reach the disk first)
};

class RecordingFileSystem final : public FileSystem {
 public:
  struct Node {
    int id = 0;
    bool directory = false;
    std::vector<std::byte> bytes, synced_bytes;
    std::map<std::string, std::shared_ptr<Node>> names, synced_names;
  };
  struct Change {
    enum class Kind : std::uint8_t {
      create,
      write,
      truncate,
      sync,
      rename,
      remove,
      make_directory,
      sync_directory
    } kind;
    std::string path;  // of files that are already open: empty, `node` says which
    std::string to = {};
    int node = 0;
    std::int64_t offset = 0;  // size for truncate
    std::vector<std::byte> bytes = {};
  };
  // Change number `at` (from 0, of those since the last call) fails with `code`; later ones too if it lasts.
  // A failing write writes half.
  struct Failure {
    int at = 0;
    int code = ENOSPC;
    bool lasting = false;
  };

  RecordingFileSystem() { root_->directory = true; }
  // As `other` is now, with nothing recorded yet.
  RecordingFileSystem(const RecordingFileSystem& other) : FileSystem(), next_id_(other.next_id_) {
    std::map<const Node*, std::shared_ptr<Node>> copies;
    root_ = copy(other.root_, copies);
  }
  RecordingFileSystem& operator=(const RecordingFileSystem&) = delete;

  std::vector<Change> changes() const {
    const std::lock_guard lock(mutex_);
    return changes_;
  }
  void inject(const Failure& failure) {
    const std::lock_guard lock(mutex_);
    failure_ = failure;
    until_failure_ = failure.at;
  }
  void heal() {
    const std::lock_guard lock(mutex_);
    failure_.reset();
  }
  // Repeats a change recorded on a file system that began as this one did.
  void apply(const Change& change) {
    const std::lock_guard lock(mutex_);
    perform(change);
  }
  void crash(Crash how) {
    const std::lock_guard lock(mutex_);
    survive(*root_, how);
  }
  // The bytes themselves, to be damaged.
  std::vector<std::byte>& bytes(const std::filesystem::path& path) {
    return find_or_throw(path, "open")->bytes;
  }

  std::unique_ptr<File> open(const std::filesystem::path& path, OpenMode mode) override {
    const std::lock_guard lock(mutex_);
    if (mode == OpenMode::create) change({.kind = Change::Kind::create, .path = path.string()});
    const auto node = find_or_throw(path, "open");
    if (node->directory) throw FileError("open", path, EISDIR);
    return std::make_unique<OpenFile>(*this, path, node);
  }
  std::optional<FileKind> kind(const std::filesystem::path& path) const override {
    const std::lock_guard lock(mutex_);
    const auto node = find(path);
    if (!node) return std::nullopt;
    return node->directory ? FileKind::directory : FileKind::regular;
  }
  std::vector<std::string> list(const std::filesystem::path& directory) const override {
    const std::lock_guard lock(mutex_);
    std::vector<std::string> names;
    for (const auto& [name, node] : find_or_throw(directory, "list")->names) names.push_back(name);
    return names;
  }
  void rename(const std::filesystem::path& from, const std::filesystem::path& to) override {
    locked_change({.kind = Change::Kind::rename, .path = from.string(), .to = to.string()});
  }
  void remove_file(const std::filesystem::path& path) override {
    locked_change({.kind = Change::Kind::remove, .path = path.string()});
  }
  void remove_directory(const std::filesystem::path& path) override {
    locked_change({.kind = Change::Kind::remove, .path = path.string()});
  }
  void make_directory(const std::filesystem::path& path) override {
    locked_change({.kind = Change::Kind::make_directory, .path = path.string()});
  }
  void sync_directory(const std::filesystem::path& directory) override {
    locked_change({.kind = Change::Kind::sync_directory, .path = directory.string()});
  }

 private:
  class OpenFile final : public File {
   public:
    OpenFile(RecordingFileSystem& owner, std::filesystem::path path, std::shared_ptr<Node> node)
        : owner_(owner), path_(std::move(path)), node_(std::move(node)) {}

    const std::filesystem::path& path() const override { return path_; }
    std::int64_t size() const override {
      const std::lock_guard lock(owner_.mutex_);
      return static_cast<std::int64_t>(node_->bytes.size());
    }
    void read(std::span<std::byte> out, std::int64_t offset) const override {
      const std::lock_guard lock(owner_.mutex_);
      const auto end = static_cast<std::size_t>(offset) + out.size();
      if (offset < 0 || end > node_->bytes.size())
        throw input_error("cannot read beyond the end of ", path_.string());
      std::copy_n(node_->bytes.begin() + offset, out.size(), out.begin());
    }
    void write(std::span<const std::byte> bytes, std::int64_t offset) override {
      owner_.locked_change({.kind = Change::Kind::write,
                            .node = node_->id,
                            .offset = offset,
                            .bytes = {bytes.begin(), bytes.end()}},
                           path_);
    }
    void truncate(std::int64_t size) override {
      owner_.locked_change({.kind = Change::Kind::truncate, .node = node_->id, .offset = size}, path_);
    }
    void sync() override { owner_.locked_change({.kind = Change::Kind::sync, .node = node_->id}, path_); }
    FileView map() const override {
      const std::lock_guard lock(owner_.mutex_);
      const auto copied = std::make_shared<std::vector<std::byte>>(node_->bytes);
      return {copied, *copied};
    }

   private:
    RecordingFileSystem& owner_;
    std::filesystem::path path_;
    std::shared_ptr<Node> node_;
  };

  static std::shared_ptr<Node> copy(const std::shared_ptr<Node>& node,
                                    std::map<const Node*, std::shared_ptr<Node>>& copies) {
    auto& made = copies[node.get()];
    if (made) return made;
    const auto result = made = std::make_shared<Node>(*node);
    for (auto& [name, child] : result->names) child = copy(child, copies);
    for (auto& [name, child] : result->synced_names) child = copy(child, copies);
    return result;
  }

  static void survive(Node& node, Crash how) {
    if (how == Crash::process) return;
    if (how == Crash::power) {
      node.bytes = node.synced_bytes;
      node.names = node.synced_names;
    } else {
      const std::size_t size = node.bytes.size();
      node.bytes = node.synced_bytes;
      node.bytes.resize(size);
    }
    for (auto& [name, child] : node.names) survive(*child, how);
  }

  std::shared_ptr<Node> find(const std::filesystem::path& path) const {
    std::shared_ptr<Node> node = root_;
    for (const auto& part : path.relative_path()) {
      if (part == ".") continue;
      const auto child = node->names.find(part.string());
      if (child == node->names.end()) return nullptr;
      node = child->second;
    }
    return node;
  }
  std::shared_ptr<Node> find_or_throw(const std::filesystem::path& path, std::string_view action) const {
    auto node = find(path);
    if (!node) throw FileError(action, path, ENOENT);
    return node;
  }
  static Node* by_id(Node& node, int id) {
    if (node.id == id) return &node;
    for (auto& [name, child] : node.names) {
      if (Node* found = by_id(*child, id)) return found;
    }
    return nullptr;
  }

  void locked_change(Change made, const std::filesystem::path& path = {}) {
    const std::lock_guard lock(mutex_);
    change(std::move(made), path);
  }

  void change(Change made, const std::filesystem::path& path = {}) {
    if (failure_ && until_failure_-- <= 0) {
      const int code = failure_->code;
      if (!failure_->lasting) failure_.reset();
      if (made.kind == Change::Kind::write) {
        made.bytes.resize(made.bytes.size() / 2);
        record(std::move(made));
      }
      throw FileError("change", path.empty() ? std::filesystem::path(made.path) : path, code);
    }
    record(std::move(made));
  }
  void record(Change made) {
    perform(made);
    changes_.push_back(std::move(made));
  }

  void perform(const Change& change) {
    switch (change.kind) {
      case Change::Kind::create:
        return add(change.path, false);
      case Change::Kind::make_directory:
        return add(change.path, true);
      case Change::Kind::rename:
        return move(change.path, change.to);
      case Change::Kind::remove:
        return remove(change.path);
      case Change::Kind::sync_directory: {
        const auto node = find_or_throw(change.path, "sync");
        node->synced_names = node->names;
        return;
      }
      default:
        break;
    }
    // A file removed while open still takes writes; nobody will see them.
    if (Node* node = by_id(*root_, change.node)) perform_on(*node, change);
  }
  static void perform_on(Node& node, const Change& change) {
    if (change.kind == Change::Kind::sync) node.synced_bytes = node.bytes;
    if (change.kind == Change::Kind::truncate) node.bytes.resize(static_cast<std::size_t>(change.offset));
    if (change.kind == Change::Kind::write) {
      const auto end = static_cast<std::size_t>(change.offset) + change.bytes.size();
      if (node.bytes.size() < end) node.bytes.resize(end);
      std::copy(change.bytes.begin(), change.bytes.end(), node.bytes.begin() + change.offset);
    }
  }

  void add(const std::filesystem::path& path, bool directory) {
    if (find(path)) throw FileError("create", path, EEXIST);
    const auto made = std::make_shared<Node>();
    made->id = ++next_id_;
    made->directory = directory;
    find_or_throw(path.parent_path(), "create in")->names[path.filename().string()] = made;
  }
  void move(const std::filesystem::path& from, const std::filesystem::path& to) {
    const auto node = find_or_throw(from, "rename"), over = find(to);
    if (over && node->directory && !over->names.empty()) throw FileError("rename to", to, ENOTEMPTY);
    find_or_throw(to.parent_path(), "rename into")->names[to.filename().string()] = node;
    find_or_throw(from.parent_path(), "rename from")->names.erase(from.filename().string());
  }
  void remove(const std::filesystem::path& path) {
    const auto node = find_or_throw(path, "remove");
    if (!node->names.empty()) throw FileError("remove", path, ENOTEMPTY);
    find_or_throw(path.parent_path(), "remove from")->names.erase(path.filename().string());
  }

  mutable std::mutex mutex_;
  std::shared_ptr<Node> root_ = std::make_shared<Node>();
  int next_id_ = 0;
  std::vector<Change> changes_;
  std::optional<Failure> failure_;
  int until_failure_ = 0;
};

}  // namespace drover
