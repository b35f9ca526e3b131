// A tokenizer.json or a tiktoken ranks file, as Tokenizer::load tells them apart, and a few bytes encoded with what
// it defines: some text, and the end of the file itself.
#include "data/tokenizer/tokenizer.h"
#include "data/unicode/unicode.h"
#include "tests/fuzz/answer.h"

namespace drover {
namespace {

constexpr std::string_view kName = "tokenizer.json";
constexpr std::string_view kText = "It's  12345 caf\xc3\xa9s;\r\n\tx <|end_of_text|>";
constexpr std::size_t kTail = 64;

Tokenizer read(std::string_view file) {
  const std::size_t first = file.find_first_not_of(" \t\r\n");
  const bool json = first != std::string_view::npos && file[first] == '{';
  return json ? Tokenizer::from_json(file, kName) : Tokenizer::from_tiktoken(file, kName);
}

void encode(const Tokenizer& tokenizer, std::string_view text) {
  Encoder encoder(tokenizer);
  for (const bool special : {false, true}) {
    std::vector<std::int32_t> ids;
    special ? encoder.encode_with_specials(text, ids) : encoder.encode_ordinary(text, ids);
    const std::string decoded = tokenizer.decode(ids);
    if (tokenizer.keeps_text() && find_invalid_utf8(text) == text.size() && decoded != text)
      report_defect("a text is not what its ids stand for", text);
  }
}

}  // namespace
}  // namespace drover

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace drover;
  const std::string_view file = text_of(data, size);
  answers(Exit::input, kName, [&] {
    const Tokenizer tokenizer = read(file);
    encode(tokenizer, kText);
    encode(tokenizer, file.substr(size - std::min(size, kTail)));
  });
  return 0;
}
