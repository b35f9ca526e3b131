#include "launch/run/read_progress.h"

#include <algorithm>

#include "tests/support/file_bytes.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/test_support.h"

namespace drover {

TEST_CASE("the live line of reading says how far it is, how fast, and how long it will take") {
  CHECK(progress_line({.bytes_read = 1'230'000'000,
                       .bytes_total = 3'000'000'000,
                       .documents = 52'000,
                       .tokens = 310'200'000,
                       .seconds = 50,
                       .seconds_left = 73}) ==
        "41 %  1230 MB of 3000 MB  52000 documents  310.2 M tokens  24.6 MB/s  1m 13s left");
}

TEST_CASE("the live line leaves out what isn't known") {
  CHECK(progress_line({.bytes_read = 2'000'000, .documents = 5}) == "2 MB  5 documents");
}

TEST_CASE("where there is no terminal, reading is told of every ten seconds") {
  const TemporaryFolder folder;
  const std::string log = (folder.path() / "log").string();
  Console console({.log_file = log, .to_people = false});
  ReadProgressLines lines(console);
  for (int half_seconds = 1; half_seconds <= 70; ++half_seconds)
    lines.show({.bytes_read = half_seconds * 1'000'000, .documents = 5, .seconds = half_seconds / 2.0});
  const std::string told = read_bytes(log);
  CHECK(std::count(told.begin(), told.end(), '\n') == 3);
  for (const char* read : {" 20 MB  ", " 40 MB  ", " 60 MB  "}) CHECK_THAT(told, Catch::Contains(read));
}

}  // namespace drover
