#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <system_error>
#include <utility>

#include "core/base/error.h"
#include "core/files/filesystem.h"
#include "data/documents/documents.h"

namespace drover {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::pair<std::string_view, DocumentForm>, 5> kForms = {{
    {"auto", DocumentForm::by_name},
    {"text", DocumentForm::text},
    {"jsonl", DocumentForm::jsonl},
    {"json", DocumentForm::json},
    {"megatron", DocumentForm::megatron},
}};

DocumentForm form_of(std::string_view path, DocumentForm wanted) {
  if (wanted != DocumentForm::by_name) return wanted;
  if (path == "-") return DocumentForm::jsonl;
  for (const std::string_view suffix : {".gz", ".zst"}) {
    if (path.ends_with(suffix)) path.remove_suffix(suffix.size());
  }
  if (path.ends_with(".jsonl") || path.ends_with(".ndjson")) return DocumentForm::jsonl;
  if (path.ends_with(".json")) return DocumentForm::json;
  if (path.ends_with(".idx") || path.ends_with(".bin")) {
    throw input_error(
        path, ": looks like Megatron's indexed tokens; say so with --format megatron, or --format text");
  }
  return DocumentForm::text;
}

// A user may name NAME.idx, NAME.bin or NAME.
std::string megatron_index(const std::string& path) {
  if (path.ends_with(".idx")) return path;
  if (path.ends_with(".bin")) return path.substr(0, path.size() - 4) + ".idx";
  return path + ".idx";
}

class Lister {
 public:
  explicit Lister(DocumentForm wanted) : wanted_(wanted) {}

  void add(const std::string& input) {
    if (input == "-") return add_standard_input();
    std::error_code failure;
    if (fs::is_directory(input, failure)) return add_folder(input);
    wanted_ == DocumentForm::megatron ? add_megatron(megatron_index(input)) : add_file(input);
  }

  InputList take() { return std::move(list_); }

 private:
  void add_standard_input() {
    if (wanted_ == DocumentForm::megatron)
      throw usage_error("--format megatron reads files, not standard input");
    const auto is_input = [](const InputFile& file) { return file.path == "-"; };
    if (std::any_of(list_.files.begin(), list_.files.end(), is_input)) {
      throw usage_error("standard input (-) can be read only once; name it once");
    }
    list_.files.push_back({.path = "-", .form = form_of("-", wanted_)});
    list_.sized = false;
  }

  // NAME.* of a shell names both files.
  void add_megatron(const std::string& index) {
    if (!list_.files.empty() && list_.files.back().path == index) return;
    add_file(index);
    struct stat status {};
    const std::string tokens = index.substr(0, index.size() - 4) + ".bin";
    if (::stat(tokens.c_str(), &status) == 0) list_.files.back().bytes += status.st_size;
  }

  void add_file(const std::string& path) {
    struct stat status {};
    if (::stat(path.c_str(), &status) != 0) {
      throw FileError("read", path, errno);
    }
    const bool regular = S_ISREG(status.st_mode);
    list_.sized = list_.sized && regular;
    list_.files.push_back(
        {.path = path, .form = form_of(path, wanted_), .bytes = regular ? status.st_size : 0});
  }

  void add_folder(const std::string& folder) {
    std::vector<std::string> paths;
    std::error_code failure;
    fs::recursive_directory_iterator entry(folder, failure);
    for (; !failure && entry != fs::recursive_directory_iterator(); entry.increment(failure)) {
      if (!pass_over(entry)) paths.push_back(entry->path().string());
    }
    if (failure) throw FileError("list", folder, failure.value());
    std::sort(paths.begin(), paths.end());
    for (const std::string& path : paths) {
      wanted_ == DocumentForm::megatron ? add_megatron(path) : add_file(path);
    }
  }

  bool pass_over(fs::recursive_directory_iterator& entry) {
    if (entry->path().filename().string().starts_with('.')) {
      entry.disable_recursion_pending();
      return ++list_.hidden;
    }
    if (entry->is_symlink()) {
      if (list_.links == 0) list_.first_link = entry->path().string();
      return ++list_.links;
    }
    if (entry->is_directory()) return true;
    if (!entry->is_regular_file()) return ++list_.special;
    return wanted_ == DocumentForm::megatron && entry->path().extension() != ".idx";
  }

  DocumentForm wanted_;
  InputList list_;
};

std::string nothing_to_read(const InputList& list) {
  std::string message = cat("no files to read; passed over in folders: ", list.hidden, " hidden, ",
                            list.links, " symbolic links, ", list.special, " special files");
  if (list.links > 0)
    message += cat(" (such as ", list.first_link, "; name a link itself to have it followed)");
  return message;
}

}  // namespace

DocumentForm document_form_named(std::string_view name) {
  std::string names;
  for (const auto& [known, form] : kForms) {
    if (name == known) return form;
    names += cat(names.empty() ? "" : ", ", known);
  }
  throw usage_error("--format ", name, ": must be one of ", names);
}

InputList list_inputs(const ReadDocuments& options) {
  Lister lister(options.form);
  for (const std::string& input : options.inputs) lister.add(input);
  InputList list = lister.take();
  if (list.files.empty()) throw input_error(nothing_to_read(list));
  return list;
}

}  // namespace drover
