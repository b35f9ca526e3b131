// From resolved fields back to text: YAML, Markdown, and what a resume must not change.
#include <algorithm>
#include <map>

#include "core/config/catalogue.h"
#include "core/config/config.h"
#include "core/config/values.h"

namespace drover {

namespace {

// "data.sources[0].store" gives data, sources, [0], store.
std::vector<std::string> split_path(const std::string& path) {
  std::vector<std::string> parts(1);
  for (const char c : path) {
    if (c == '.' || c == '[') parts.emplace_back();
    if (c != '.') parts.back() += c;
  }
  return parts;
}

bool is_element(const std::string& part) { return part.front() == '['; }

// Writes fields in order as nested YAML. Elements of lists are indented by two under their key, as mappings
// are.
class YamlWriter {
 public:
  void add(const ResolvedField& field, const std::string& comment) {
    const std::vector<std::string> parts = split_path(field.path);
    const auto common = std::mismatch(parts.begin(), parts.end(), open_.begin(), open_.end()).first;
    bool first_of_element = false;
    for (auto part = common; part != parts.end(); ++part) {
      const bool last = part + 1 == parts.end();
      if (is_element(*part)) {
        first_of_element = true;
        continue;
      }
      const auto depth = static_cast<std::size_t>(part - parts.begin());
      std::string line(2 * depth, ' ');
      if (first_of_element) line[2 * depth - 2] = '-';
      first_of_element = false;
      line += *part + ":" + (last ? " " + field.value : "");
      if (last && !comment.empty()) line.resize(std::max(line.size(), kCommentColumn), ' ');
      text_ += line + (last && !comment.empty() ? "  # " + comment : "") + "\n";
    }
    open_ = parts;
  }

  std::string take() { return std::move(text_); }

 private:
  static constexpr std::size_t kCommentColumn = 44;
  std::vector<std::string> open_;  // path of the last line
  std::string text_;
};

std::string value_column(const CatalogueEntry& entry) {
  const FieldInfo& info = entry.field.info;
  std::string choices;
  for (const std::string& word : split_words(info.choices)) choices += (choices.empty() ? "" : ", ") + word;
  if (!choices.empty()) return choices;
  switch (entry.kind) {
    case FieldKind::integer:
      return info.unit == Unit::tokens ? "tokens" : info.unit == Unit::bytes ? "bytes" : "whole number";
    case FieldKind::optional_integer:
      return info.unit == Unit::tokens ? "tokens or null" : "whole number or null";
    case FieldKind::real:
      return "number";
    case FieldKind::boolean:
      return "true, false";
    case FieldKind::text:
      return "text";
    case FieldKind::pair:
      return "[number, number]";
    case FieldKind::interval:
      return "steps or a duration";
    case FieldKind::duration:
      return "duration";
    case FieldKind::section:
      return "section, below";
    case FieldKind::optional_section:
      return "section or null, below";
    case FieldKind::list:
      return "list, below";
  }
  return "";
}

std::string bounds(const CatalogueEntry& entry) {
  const FieldInfo& info = entry.field.info;
  const auto text_of = [&](double bound) {
    return entry.kind == FieldKind::duration ? format_value(Seconds(bound)) : format_bound(bound);
  };
  std::string text;
  if (info.at_least) text += ", at least " + text_of(*info.at_least);
  if (info.at_most) text += ", at most " + text_of(*info.at_most);
  return text;
}

const char* resume_column(const CatalogueEntry& entry) {
  if (entry.kind == FieldKind::section) return "";
  return entry.field.info.on_resume == OnResume::fixed ? "no" : "yes";
}

// Names of other tools, and the key's own of older runs.
std::string other_names(const FieldInfo& info) {
  return *info.former == '\0' ? info.elsewhere : cat(info.elsewhere, " (once ", info.former, ")");
}

std::string row(const CatalogueEntry& entry, const std::string& key) {
  const FieldInfo& info = entry.field.info;
  const std::string shown_default = info.required ? "required" : entry.field.value;
  return "| `" + key + "` | " + value_column(entry) + bounds(entry) + " | " + shown_default + " | " +
         info.meaning + " | " + resume_column(entry) + " | " + other_names(info) + " |\n";
}

constexpr const char* kTableHead =
    "| key | value | default | meaning | may change on resume | called elsewhere "
    "|\n|---|---|---|---|---|---|\n";

}  // namespace

std::vector<ResolvedField> list_config(DescribeConfig describe) {
  std::vector<ResolvedField> fields;
  for (CatalogueEntry& entry : catalogue(describe, Absent::skip)) fields.push_back(std::move(entry.field));
  return fields;
}

std::string write_config(std::span<const ResolvedField> fields) {
  YamlWriter writer;
  for (const ResolvedField& field : fields) writer.add(field, "");
  return writer.take();
}

std::string write_config_with_origins(std::span<const ResolvedField> fields) {
  YamlWriter writer;
  for (const ResolvedField& field : fields) writer.add(field, field.origin);
  return writer.take();
}

std::string document_config(DescribeConfig describe) {
  std::vector<std::string> order;  // of the tables: as their first row comes
  std::map<std::string, std::string> tables;
  for (const CatalogueEntry& entry : catalogue(describe, Absent::expand)) {
    const std::string& path = entry.field.path;
    const std::size_t dot = path.rfind('.');
    const std::string section = dot == std::string::npos ? "" : path.substr(0, dot);
    const auto [table, is_new] = tables.emplace(section, kTableHead);
    if (is_new) order.push_back(section);
    table->second += row(entry, path.substr(dot + 1));
  }
  std::string text;
  for (const std::string& section : order)
    text += (text.empty() ? "" : "\n") + (section.empty() ? "" : "## " + section + "\n\n") + tables[section];
  return text;
}

std::vector<std::string> changed_on_resume(std::span<const ResolvedField> before,
                                           std::span<const ResolvedField> now) {
  std::map<std::string, const ResolvedField*> old;
  for (const ResolvedField& field : before) old.emplace(field.path, &field);
  std::vector<std::string> changed;
  for (const ResolvedField& field : now) {
    const auto found = old.find(field.path);
    const std::string was = found == old.end() ? "absent" : found->second->value;
    if (found != old.end()) old.erase(found);
    if (was == field.value || field.info.on_resume == OnResume::may_change) continue;
    changed.push_back(field.path + " was " + was + ", now " + field.value + " (" + field.origin + ")");
  }
  for (const ResolvedField& field : before)
    if (old.contains(field.path) && field.info.on_resume == OnResume::fixed)
      changed.push_back(field.path + " was " + field.value + ", now absent");
  return changed;
}

}  // namespace drover
