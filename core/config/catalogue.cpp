#include "core/config/catalogue.h"

#include <algorithm>
#include <numeric>

#include "core/config/values.h"

namespace drover {

namespace {

class Lister final : public Fields {
 public:
  Lister(std::vector<CatalogueEntry>& entries, std::string path, Absent absent)
      : entries_(entries), path_(std::move(path)), absent_(absent) {}

  void add(const char* key, std::int64_t& value, const FieldInfo& info) override {
    note(key, format_value(value), FieldKind::integer, info);
  }
  void add(const char* key, double& value, const FieldInfo& info) override {
    note(key, format_value(value), FieldKind::real, info);
  }
  void add(const char* key, bool& value, const FieldInfo& info) override {
    note(key, format_value(value), FieldKind::boolean, info);
  }
  void add(const char* key, std::string& value, const FieldInfo& info) override {
    note(key, format_value(value), FieldKind::text, info);
  }
  void add(const char* key, std::optional<std::int64_t>& value, const FieldInfo& info) override {
    note(key, format_value(value), FieldKind::optional_integer, info);
  }
  void add(const char* key, std::array<double, 2>& value, const FieldInfo& info) override {
    note(key, format_value(value), FieldKind::pair, info);
  }
  void add(const char* key, Interval& value, const FieldInfo& info) override {
    note(key, format_value(value), FieldKind::interval, info);
  }
  void add(const char* key, Seconds& value, const FieldInfo& info) override {
    note(key, format_value(value), FieldKind::duration, info);
  }

  void section(const char* key, const FieldInfo& info, FunctionRef<void(Fields&)> describe) override {
    if (absent_ == Absent::expand) note(key, "", FieldKind::section, info);
    Lister inner(entries_, join_path(path_, key), absent_);
    describe(inner);
  }

  void optional_section(const char* key, const FieldInfo& info, bool& present,
                        FunctionRef<void(Fields&)> describe) override {
    const bool expand = absent_ == Absent::expand;
    if (expand || !present) note(key, present ? "" : "null", FieldKind::optional_section, info);
    if (!expand && !present) return;
    Lister inner(entries_, join_path(path_, key), absent_);
    describe(inner);
  }

  void list(const char* key, const FieldInfo& info, FunctionRef<std::size_t()> size,
            FunctionRef<void(std::size_t)> resize,
            FunctionRef<void(std::size_t, Fields&)> describe) override {
    const std::size_t count = size();
    const bool expand = absent_ == Absent::expand;
    if (expand || count == 0) note(key, count == 0 ? "[]" : "", FieldKind::list, info);
    if (expand && count == 0) resize(1);
    for (std::size_t i = 0; i < (expand ? 1 : count); ++i) {
      const std::string element = expand ? "[]" : cat("[", i, "]");
      Lister inner(entries_, join_path(path_, key) + element, absent_);
      describe(i, inner);
    }
    if (expand && count == 0) resize(0);
  }

  void defaults_from(const std::string&) override {}

 private:
  void note(const char* key, std::string value, FieldKind kind, const FieldInfo& info) {
    entries_.push_back({.field = {.path = join_path(path_, key),
                                  .value = std::move(value),
                                  .origin = "default",
                                  .info = info},
                        .kind = kind});
  }

  std::vector<CatalogueEntry>& entries_;
  std::string path_;
  Absent absent_;
};

// How many letters have to be put in, left out, exchanged, or swapped with the next one (optimal string
// alignment), by rows of the usual table.
std::size_t distance(const std::string& a, const std::string& b) {
  std::vector<std::size_t> before, last(b.size() + 1), row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    before = std::exchange(last, row);
    row[0] = i + 1;
    for (std::size_t j = 0; j < b.size(); ++j) {
      row[j + 1] = std::min({last[j] + (a[i] == b[j] ? 0 : 1), last[j + 1] + 1, row[j] + 1});
      if (i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j])
        row[j + 1] = std::min(row[j + 1], before[j - 1] + 1);
    }
  }
  return row.back();
}

// The nearest of `words`, if it is near enough to be what was meant.
std::optional<std::string> nearest(const std::vector<std::string>& words, const std::string& word) {
  constexpr std::size_t kLongest = 80;  // the distance is quadratic
  std::optional<std::string> best;
  std::size_t best_distance = 1 + std::max<std::size_t>(1, word.size() / 3);
  if (word.size() > kLongest) return best;
  for (const std::string& candidate : words) {
    const std::size_t d = distance(word, candidate);
    if (d >= best_distance) continue;
    best = candidate;
    best_distance = d;
  }
  return best;
}

std::string section_of(const std::string& path) {
  const std::size_t dot = path.rfind('.');
  return dot == std::string::npos ? "" : path.substr(0, dot);
}

std::string key_of(const std::string& path) { return path.substr(path.rfind('.') + 1); }

// Command-line spelling counts too: --lr-warmup-iters is lr_warmup_iters.
bool is_known_as(const CatalogueEntry& entry, const std::string& key) {
  std::string name = key.substr(std::min(key.find_first_not_of('-'), key.size()));
  std::replace(name.begin(), name.end(), '-', '_');
  const std::vector<std::string> names = split_words(entry.field.info.elsewhere);
  return std::find(names.begin(), names.end(), name) != names.end();
}

std::string list_words(const std::vector<std::string>& words) {
  std::string text;
  for (std::size_t i = 0; i < words.size(); ++i)
    text += (i == 0 ? "" : i + 1 == words.size() ? " or " : ", ") + words[i];
  return text;
}

}  // namespace

std::vector<CatalogueEntry> catalogue(DescribeConfig describe, Absent absent) {
  std::vector<CatalogueEntry> entries;
  Lister lister(entries, "", absent);
  describe(lister);
  return entries;
}

std::string join_path(const std::string& section, const std::string& key) {
  return section.empty() ? key : section + "." + key;
}

std::string without_numbers(const std::string& path) {
  std::string result;
  bool inside = false;
  for (const char c : path) {
    if (c == ']') inside = false;
    if (!inside) result += c;
    if (c == '[') inside = true;
  }
  return result;
}

std::string remedy_for_unknown(const std::vector<CatalogueEntry>& entries, const std::string& section,
                               const std::string& key) {
  std::vector<std::string> keys;  // of the section
  const CatalogueEntry* foreign = nullptr;
  const CatalogueEntry* homonym = nullptr;
  for (const CatalogueEntry& entry : entries) {
    const bool here = section_of(entry.field.path) == without_numbers(section);
    if (here) keys.push_back(key_of(entry.field.path));
    if (is_known_as(entry, key) && (here || foreign == nullptr)) foreign = &entry;
    if (key_of(entry.field.path) == key && homonym == nullptr) homonym = &entry;
  }
  if (foreign != nullptr)
    return "; here it is called " + foreign->field.path + " (" + foreign->field.info.meaning + ")";
  if (const auto near = nearest(keys, key)) return "; did you mean " + join_path(section, *near) + "?";
  if (homonym != nullptr) return "; did you mean " + homonym->field.path + "?";
  return "; " + (section.empty() ? "a configuration" : section) + " can have " + list_words(keys);
}

std::string remedy_for_choice(const char* choices, const std::string& word) {
  const std::vector<std::string> words = split_words(choices);
  if (const auto near = nearest(words, word)) return "; did you mean " + *near + "?";
  return "; use " + list_words(words);
}

std::vector<std::string> split_words(const char* words) {
  std::vector<std::string> result;
  std::istringstream stream{std::string(words)};
  for (std::string word; stream >> word;) result.push_back(word);
  return result;
}

}  // namespace drover
