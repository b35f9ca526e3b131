// What a person sees of a run: plain lines, and on a terminal one live line below them, rewritten in place.
// The same plain lines go to this rank's log file.
#pragma once

#include <memory>
#include <string>

namespace drover {

inline constexpr double kPlainLineSeconds = 10;  // between lines of progress in a log or a pipe

struct ConsoleOptions {
  std::string log_file;   // empty: none
  bool to_people = true;  // rank 0: standard output too
};

class Console {
 public:
  // Error{input} when the log file cannot be made.
  explicit Console(const ConsoleOptions& options);
  ~Console();

  void print(const std::string& line);
  void warn(const std::string& line);
  // To the log alone: what ends the process is printed when all ranks know whether they fail together (process.h).
  void note_failure(const std::string& line);
  // Replaces the live line; nothing where standard output is no terminal.
  void live(const std::string& line);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace drover
