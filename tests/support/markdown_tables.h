// The tables of a page of docs/, so that a test can compare them with what the code does.
#pragma once

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace drover {

using TableRow = std::vector<std::string>;  // cells, without the spaces around them
using Table = std::vector<TableRow>;        // without its head

inline std::string page_of_docs(const std::string& name) {
  const char* root = std::getenv("DROVER_SOURCE_DIR");
  const std::string path = std::string(root ? root : ".") + "/docs/" + name;
  std::ifstream file(path);
  if (!file) throw std::runtime_error("cannot read " + path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

inline TableRow cells_of(std::string_view line) {
  TableRow cells;
  for (line.remove_prefix(1); !line.empty();) {
    const std::size_t end = line.find('|');
    std::string_view cell = line.substr(0, end);
    while (cell.starts_with(' ')) cell.remove_prefix(1);
    while (cell.ends_with(' ')) cell.remove_suffix(1);
    cells.emplace_back(cell);
    line.remove_prefix(end == std::string_view::npos ? line.size() : end + 1);
  }
  return cells;
}

inline std::vector<Table> tables_of(const std::string& page) {
  std::vector<Table> tables;
  std::istringstream lines(page);
  bool inside = false;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("|---")) tables.emplace_back();
    inside = line.starts_with("|") && (inside || line.starts_with("|---"));
    if (inside && !line.starts_with("|---")) tables.back().push_back(cells_of(line));
  }
  return tables;
}

}  // namespace drover
