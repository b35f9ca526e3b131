// Reads tiktoken ranks files: one `base64(token) rank` a line.
#include <algorithm>
#include <charconv>
#include <optional>
#include <unordered_map>

#include "core/base/error.h"
#include "data/tokenizer/bpe_table.h"
#include "data/tokenizer/spec.h"
#include "data/tokenizer/tokenizer.h"

namespace drover {
namespace {

// Every split of every token is looked up, so long tokens cost the square of their length. Llama 3's longest
// has 128 bytes.
constexpr std::size_t kMaxRankedBytes = 1024;

int base64_value(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  return c == '+' ? 62 : c == '/' ? 63 : -1;
}

std::optional<std::string> decode_base64(std::string_view text) {
  if (text.empty() || text.size() % 4 != 0) return std::nullopt;
  const std::size_t padding = text.ends_with("==") ? 2 : text.ends_with("=") ? 1 : 0;
  std::string bytes;
  std::uint32_t bits = 0;
  int count = 0;
  for (const char c : text.substr(0, text.size() - padding)) {
    const int value = base64_value(c);
    if (value < 0) return std::nullopt;
    bits = bits << 6 | std::uint32_t(value);
    count += 6;
    if (count >= 8) bytes.push_back(char(bits >> (count -= 8) & 0xFF));
  }
  if ((bits & ((1u << count) - 1)) != 0) return std::nullopt;  // left-over bits: not what any encoder writes
  return bytes;
}

class RanksFile {
 public:
  RanksFile(std::string_view text, std::string_view path) : text_(text), path_(path) {}

  std::vector<std::string> tokens() {
    if (text_.size() > kMaxTokenizerFileBytes)
      throw input_error(path_, ": ", text_.size(), " bytes is too large for a ranks file");
    const auto lines = std::size_t(std::ranges::count(text_, '\n')) + 1;
    if (lines > std::size_t(kMaxTokens))
      throw input_error(path_, ": ", lines, " lines; at most ", kMaxTokens, " tokens");
    std::vector<std::string> tokens(lines);
    std::size_t used = 0;
    for (std::string_view rest = text_; !rest.empty(); ++line_) {
      const std::size_t end = std::min(rest.find('\n'), rest.size());
      used += take(rest.substr(0, end), tokens);
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
    tokens.resize(used);
    const auto hole = std::ranges::find(tokens, std::string());
    if (hole != tokens.end()) {
      throw input_error(path_, ": no token has rank ", hole - tokens.begin(), " although there are ", used,
                        "; ranks must count up from 0 without gaps");
    }
    if (used == 0)
      throw input_error(path_, ": no tokens; expected lines of base64 and rank, or a tokenizer.json");
    return tokens;
  }

 private:
  [[noreturn]] void refuse(std::string_view why) const {
    throw input_error(
        path_, ":", line_, ": ", why,
        "; expected a line of base64, one space and a rank (a tiktoken .model file; for a SentencePiece "
        ".model give the tokenizer.json made of it)");
  }

  std::size_t take(std::string_view line, std::vector<std::string>& tokens) const {
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty()) return 0;
    const std::size_t space = line.find(' ');
    if (space == std::string_view::npos) refuse("no space");
    const auto token = decode_base64(line.substr(0, space));
    if (!token) refuse("the token is not base64");
    if (token->size() > kMaxRankedBytes)
      refuse(cat("the token has ", token->size(), " bytes, more than ", kMaxRankedBytes));
    const std::string_view digits = line.substr(space + 1);
    std::size_t rank = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), rank);
    if (error != std::errc() || end != digits.data() + digits.size()) refuse("the rank is not a number");
    if (rank >= tokens.size()) refuse(cat("rank ", rank, " in a file of at most ", tokens.size(), " tokens"));
    if (!tokens[rank].empty()) refuse(cat("rank ", rank, " was given before"));
    tokens[rank] = *token;
    return 1;
  }

  std::string_view text_, path_;
  std::int64_t line_ = 1;
};

// tiktoken merges any two neighbours that together are a token, the lowest rank first: a rule for every split
// of every token.
std::vector<Merge> merges_of(const std::vector<std::string>& tokens) {
  std::unordered_map<std::string_view, std::int32_t> ids;
  ids.reserve(tokens.size());
  for (std::size_t id = 0; id < tokens.size(); ++id) ids.emplace(tokens[id], std::int32_t(id));
  std::vector<Merge> merges;
  for (std::size_t id = 0; id < tokens.size(); ++id) {
    const std::string_view token = tokens[id];
    const std::size_t first = merges.size();
    for (std::size_t cut = 1; cut < token.size(); ++cut) {
      const auto left = ids.find(token.substr(0, cut)), right = ids.find(token.substr(cut));
      if (left == ids.end() || right == ids.end()) continue;
      merges.push_back({left->second, right->second, std::int32_t(id), std::int32_t(id)});
    }
    // The order in which Transformers' converter numbers them; a tokenizer.json made from this equals its
    // own.
    std::sort(merges.begin() + std::ptrdiff_t(first), merges.end(), [](const Merge& a, const Merge& b) {
      return pair_key(a.left, a.right) < pair_key(b.left, b.right);
    });
  }
  return merges;
}

}  // namespace

TiktokenForm llama3_tiktoken_form() {
  std::vector<std::string> names = {"<|begin_of_text|>",
                                    "<|end_of_text|>",
                                    "<|reserved_special_token_0|>",
                                    "<|reserved_special_token_1|>",
                                    "<|finetune_right_pad_id|>",
                                    "<|reserved_special_token_2|>",
                                    "<|start_header_id|>",
                                    "<|end_header_id|>",
                                    "<|eom_id|>",
                                    "<|eot_id|>",
                                    "<|python_tag|>"};
  for (int number = 3; names.size() < 256; ++number)
    names.push_back(cat("<|reserved_special_token_", number, "|>"));
  return {.pattern = kLlama3Pattern, .specials = std::move(names)};
}

Tokenizer Tokenizer::from_tiktoken(std::string_view text, std::string_view path, const TiktokenForm& form) {
  TokenizerSpec spec;
  spec.splits = {{.pattern = form.pattern}};
  spec.tokens = RanksFile(text, path).tokens();
  spec.merges = merges_of(spec.tokens);
  spec.ignore_merges = true;
  append_specials(form.specials, spec);
  spec.bos = conventional_bos(spec);
  spec.eos = conventional_eos(spec);
  return Tokenizer(std::move(spec), path);
}

}  // namespace drover
