// All keys a description knows, for messages and documentation.
#pragma once

#include <string>
#include <vector>

#include "core/config/config.h"

namespace drover {

enum class FieldKind : std::uint8_t {
  integer,
  real,
  boolean,
  text,
  optional_integer,
  pair,
  interval,
  duration,
  section,
  optional_section,
  list,
};

struct CatalogueEntry {
  ResolvedField field;
  FieldKind kind = FieldKind::integer;
};

// What of lists and optional sections is visited.
enum class Absent : std::uint8_t {
  skip,    // only what is there: paths like data.sources[0].store
  expand,  // one element of every list, every optional section: data.sources[].store. Values that were absent
           // are absent again afterwards; a list that has elements shows its first.
};

// Sections come before their fields.
std::vector<CatalogueEntry> catalogue(DescribeConfig describe, Absent absent);

// "optimizer" and "lr" give "optimizer.lr"; the root is "".
std::string join_path(const std::string& section, const std::string& key);
// "data.sources[3].store" gives "data.sources[].store".
std::string without_numbers(const std::string& path);

// What to do about an unknown key of a section, as the end of a sentence: "; did you mean optimizer.lr?".
std::string remedy_for_unknown(const std::vector<CatalogueEntry>& entries, const std::string& section,
                               const std::string& key);
// The same for a word that is none of `choices`.
std::string remedy_for_choice(const char* choices, const std::string& word);

std::vector<std::string> split_words(const char* words);

}  // namespace drover
