#include "data/tokenizer/tokenizer.h"

#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <fstream>

#include "core/base/error.h"
#include "data/tokenizer/added.h"
#include "data/tokenizer/bpe.h"
#include "data/tokenizer/spec.h"
#include "data/tokenizer/split.h"
#include "data/unicode/nfc.h"
#include "data/unicode/unicode.h"

namespace drover {

// https://github.com/meta-llama/llama3/blob/main/llama/tokenizer.py
const char* const kLlama3Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
// https://github.com/openai/gpt-2/blob/master/src/encoder.py
const char* const kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

namespace {

// Those in whose text there is one to look for, special ones first, as tokenizers lists them.
template <class Chosen>
AddedMatcher matcher_of(const std::vector<AddedToken>& added, Chosen chosen) {
  std::vector<AddedToken> tokens;
  std::ranges::copy_if(added, std::back_inserter(tokens), chosen);
  std::stable_partition(tokens.begin(), tokens.end(), [](const AddedToken& token) { return token.special; });
  return AddedMatcher(std::move(tokens));
}

// The two passes over added tokens.
struct AddedPasses {
  AddedMatcher verbatim, normalized;
};

// In ordinary text special tokens matter only for what they keep others from matching.
AddedPasses passes_of(const std::vector<AddedToken>& added, bool with_specials) {
  const auto matcher = [&](bool normalized) {
    const auto in_pass = [=](const AddedToken& token) { return token.normalized == normalized; };
    const bool matters = with_specials || std::ranges::any_of(added, [&](const AddedToken& token) {
                           return in_pass(token) && !token.special;
                         });
    return matcher_of(added, [&](const AddedToken& token) { return matters && in_pass(token); });
  };
  return {.verbatim = matcher(false), .normalized = matcher(true)};
}

// What lies between added tokens, before the other added tokens are cut out of it.
class Normalization {
 public:
  explicit Normalization(const TokenizerSpec& spec)
      : nfc_(spec.normalizer == Normalizer::nfc ? std::optional<Nfc>(std::in_place) : std::nullopt),
        marks_(spec.marks) {}

  // `text`, or what it becomes, in `changed`.
  std::string_view of(std::string_view text, std::string& changed) const {
    if (nfc_ && nfc_->normalize(text, changed)) text = changed;
    if (marks_.writer != SpaceMarks::Writer::normalizer || text.empty()) return text;
    std::string marked;
    mark_spaces(text, marks_.before == SpaceMarks::Before::sections, marked);
    return changed = std::move(marked);
  }

 private:
  std::optional<Nfc> nfc_;
  SpaceMarks marks_;
};

// As they are looked for.
std::vector<AddedToken> normalized_tokens(const TokenizerSpec& spec, const Normalization& normalization) {
  std::vector<AddedToken> tokens = spec.added;
  std::string changed;
  for (AddedToken& token : tokens)
    if (token.normalized) token.content = std::string(normalization.of(token.content, changed));
  return tokens;
}

std::vector<std::unique_ptr<SplitPattern>> patterns_of(const TokenizerSpec& spec, std::string_view path) {
  std::vector<std::unique_ptr<SplitPattern>> patterns;
  for (const SplitRule& rule : spec.splits) patterns.push_back(std::make_unique<SplitPattern>(rule, path));
  if (can_cut_before_marks(spec)) {  // into words, which the piece cache knows
    const SplitRule words{.pattern = cat(kSpaceMark, '+'), .behavior = SplitBehavior::merged_with_next};
    patterns.push_back(std::make_unique<SplitPattern>(words, path));
  }
  return patterns;
}

// \w of Rust's regex: Alphabetic, M, Nd, Pc and Join_Control.
// None where no token asks for it.
std::unique_ptr<SplitPattern> word_pattern(const TokenizerSpec& spec) {
  if (std::ranges::none_of(spec.added, &AddedToken::single_word)) return nullptr;
  const SplitRule rule{.pattern = R"([\p{L}\p{M}\p{Nd}\p{Nl}\p{Pc}\x{200C}\x{200D}\x{24B6}-\x{24E9})"
                                  R"(\x{1F130}-\x{1F149}\x{1F150}-\x{1F169}\x{1F170}-\x{1F189}])",
                       .behavior = SplitBehavior::removed};
  return std::make_unique<SplitPattern>(rule, "the characters of words");
}

}  // namespace

struct Tokenizer::Tables {
  TokenizerSpec spec;
  std::vector<std::unique_ptr<SplitPattern>> patterns;
  std::unique_ptr<SplitPattern> word;
  Normalization normalization;
  Bpe bpe;
  AddedMatcher specials;
  AddedPasses ordinary, all;
  std::vector<bool> is_special;
  std::vector<std::string> texts;  // by id; empty: the tokens
  std::string digest;

  Tables(TokenizerSpec checked, std::string_view path)
      : spec(std::move(checked)),
        patterns(patterns_of(spec, path)),
        word(word_pattern(spec)),
        normalization(spec),
        bpe(spec),
        specials(matcher_of(spec.added, [](const AddedToken& token) { return token.special; })),
        ordinary(passes_of(normalized_tokens(spec, normalization), false)),
        all(passes_of(normalized_tokens(spec, normalization), true)),
        is_special(spec.tokens.size()),
        texts(spec.atoms == Atoms::bytes ? std::vector<std::string>() : texts_of_tokens(spec)),
        digest(spec_digest(spec)) {
    for (const AddedToken& token : spec.added) is_special[std::size_t(token.id)] = token.special;
  }
};

Tokenizer::Tokenizer(TokenizerSpec spec, std::string_view path) {
  check_spec(spec, path);
  tables_ = std::make_shared<const Tables>(std::move(spec), path);
}

Tokenizer Tokenizer::load(const std::string& path) {
  // Looked at first: to open a pipe is to wait for who writes to it.
  struct stat info {};
  std::ifstream file;
  if (stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode)) file.open(path, std::ios::binary);
  if (!file.is_open()) {
    throw input_error(path, ": cannot read this tokenizer; give a tokenizer.json or a tiktoken .model file");
  }
  if (std::size_t(info.st_size) > kMaxTokenizerFileBytes) {
    throw input_error(path, ": ", info.st_size, " bytes is too large for a tokenizer; at most ",
                      kMaxTokenizerFileBytes);
  }
  std::string text(std::size_t(info.st_size), '\0');
  if (!file.read(text.data(), info.st_size))
    throw input_error(path, ": the file ended early; is it being written?");
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  return first != std::string::npos && text[first] == '{' ? from_json(text, path) : from_tiktoken(text, path);
}

std::int64_t Tokenizer::vocab_size() const { return std::int64_t(tables_->spec.tokens.size()); }
std::optional<std::int32_t> Tokenizer::bos() const { return tables_->spec.bos; }
std::optional<std::int32_t> Tokenizer::eos() const { return tables_->spec.eos; }
const std::string& Tokenizer::digest() const { return tables_->digest; }
const TokenizerSpec& Tokenizer::spec() const { return tables_->spec; }
bool Tokenizer::keeps_text() const { return drover::keeps_text(tables_->spec); }
bool Tokenizer::puts_space_before() const { return drover::puts_space_before(tables_->spec); }

std::optional<std::int32_t> Tokenizer::special(std::string_view name) const {
  const auto found = std::ranges::find_if(
      tables_->spec.added, [&](const AddedToken& token) { return token.special && token.content == name; });
  if (found == tables_->spec.added.end()) return std::nullopt;
  return found->id;
}

std::string_view Tokenizer::token_bytes(std::int32_t id) const {
  if (id < 0 || id >= vocab_size()) {
    throw input_error("token id ", id, " is outside the vocabulary of ", vocab_size(),
                      "; is this the tokenizer of that data?");
  }
  return (tables_->texts.empty() ? tables_->spec.tokens : tables_->texts)[std::size_t(id)];
}

bool Tokenizer::is_special(std::int32_t id) const {
  return id >= 0 && id < vocab_size() && tables_->is_special[std::size_t(id)];
}

std::string Tokenizer::decode(std::span<const std::int32_t> ids) const {
  std::string text;
  for (const std::int32_t id : ids) text += token_bytes(id);
  return text;
}

std::vector<std::int32_t> Tokenizer::encode_ordinary(std::string_view text) const {
  std::vector<std::int32_t> ids;
  Encoder(*this).encode_ordinary(text, ids);
  return ids;
}

std::vector<std::int32_t> Tokenizer::encode_with_specials(std::string_view text) const {
  std::vector<std::int32_t> ids;
  Encoder(*this).encode_with_specials(text, ids);
  return ids;
}

std::int64_t Tokenizer::count_special_names(std::string_view text) const {
  std::int64_t count = 0;
  std::size_t at = 0;
  while (const auto found = tables_->specials.find(text, at)) {
    at = found->end;
    ++count;
  }
  return count;
}

namespace {

// Pieces that were merged before, and their ids: direct-mapped, the newer of two that collide stays. 64 bytes
// a slot, one cache line. Longer pieces, or ones of more tokens, are too rare to keep.
class PieceCache {
 public:
  static constexpr std::size_t kMaxBytes = 23, kMaxIds = 9;

  struct alignas(64) Slot {
    std::uint64_t key[3] = {};  // the bytes, zero padded; the length in the last byte
    std::int32_t ids[kMaxIds] = {};
    std::uint32_t count = 0;
  };

  // `text_end` bounds what may be read past the piece.
  static void make_key(std::string_view piece, const char* text_end, std::uint64_t (&key)[3]) {
    if (text_end - piece.data() >= 24) {
      std::memcpy(key, piece.data(), 24);
      for (std::size_t word = 0; word < 3; ++word) key[word] &= mask(piece.size(), word);
    } else {
      key[0] = key[1] = key[2] = 0;
      std::memcpy(key, piece.data(), piece.size());
    }
    key[2] |= std::uint64_t(piece.size()) << 56;
  }

  Slot& slot(const std::uint64_t (&key)[3]) {
    std::uint64_t hash = key[0] * 0x9E3779B97F4A7C15u;
    hash = (hash ^ (hash >> 32) ^ key[1]) * 0xD6E8FEB86659FD93u;
    hash = (hash ^ (hash >> 32) ^ key[2]) * 0xA0761D6478BD642Fu;
    return slots_[hash >> (64 - kBits)];
  }

 private:
  static constexpr int kBits = 16;

  static std::uint64_t mask(std::size_t size, std::size_t word) {
    if (size >= 8 * word + 8) return ~std::uint64_t(0);
    return size <= 8 * word ? 0 : (std::uint64_t(1) << (8 * (size - 8 * word))) - 1;
  }

  std::vector<Slot> slots_ = std::vector<Slot>(std::size_t(1) << kBits);
};

}  // namespace

namespace {

// Where the white space begins that ends at `end`.
std::size_t begin_of_space(std::string_view text, std::size_t end) {
  while (end > 0 && is_white_space(last_character(text.substr(0, end)))) {
    --end;
    while ((static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  }
  return end;
}

std::size_t end_of_space(std::string_view text, std::size_t begin) {
  std::size_t length = 0;
  while (begin < text.size() && is_white_space(decode_utf8(text.substr(begin), length))) begin += length;
  return begin;
}

}  // namespace

struct Encoder::State {
  Tokenizer tokenizer;  // keeps the tables alive
  const Tokenizer::Tables& tables;
  std::vector<Splitter> splitters;                     // by rule
  std::vector<std::vector<std::string_view>> batches;  // of pieces, by rule
  std::optional<Splitter> word;
  std::size_t
      spaced_rule;  // what this rule cuts gets a space before it; the one after the last: what is merged
  BpeWork work;
  PieceCache cache;
  std::string repaired, normalized, marked, spaced;
  std::vector<std::string_view> word_pieces;

  explicit State(const Tokenizer& from)
      : tokenizer(from), tables(*tokenizer.tables_), batches(tables.patterns.size()) {
    for (const auto& pattern : tables.patterns) splitters.emplace_back(*pattern);
    if (tables.word) word.emplace(*tables.word);
    const PrefixSpace space = tables.spec.prefix_space;
    spaced_rule = splitters.size() - (space == PrefixSpace::before_last_rule) + (space == PrefixSpace::none);
  }

  void encode_piece(std::string_view piece, const char* text_end, std::vector<std::int32_t>& out) {
    if (piece.size() > PieceCache::kMaxBytes) return tables.bpe.encode(piece, work, out);
    std::uint64_t key[3];
    PieceCache::make_key(piece, text_end, key);
    PieceCache::Slot& slot = cache.slot(key);
    if (std::memcmp(slot.key, key, sizeof key) == 0) {
      out.insert(out.end(), slot.ids, slot.ids + slot.count);
      return;
    }
    const std::size_t before = out.size();
    tables.bpe.encode(piece, work, out);
    const std::size_t count = out.size() - before;
    if (count > PieceCache::kMaxIds) return;
    std::memcpy(slot.key, key, sizeof key);
    std::copy(out.end() - std::ptrdiff_t(count), out.end(), slot.ids);
    slot.count = std::uint32_t(count);
  }

  // By the rules from `rule` on. `text_end` as in encode_piece.
  void encode_plain(std::string_view text, const char* text_end, std::size_t rule,
                    std::vector<std::int32_t>& out) {
    if (rule == spaced_rule && !text.starts_with(' ') && !text.empty()) {
      spaced.assign(1, ' ').append(text);
      text = spaced;
      text_end = spaced.data() + spaced.size();
    }
    if (rule == splitters.size()) {
      if (!text.empty()) encode_piece(text, text_end, out);
      return;
    }
    std::vector<std::string_view>& pieces = batches[rule];
    const bool last = rule + 1 == splitters.size() && spaced_rule != splitters.size();
    splitters[rule].start(text);
    for (splitters[rule].next(pieces); !pieces.empty(); splitters[rule].next(pieces)) {
      for (const std::string_view piece : pieces)
        last ? encode_piece(piece, text_end, out) : encode_plain(piece, text_end, rule + 1, out);
    }
  }

  // What lies between all added tokens; `begins`: with it the text does.
  void encode_section(std::string_view section, bool begins, std::vector<std::int32_t>& out) {
    const SpaceMarks& marks = tables.spec.marks;
    if (marks.writer == SpaceMarks::Writer::pre_tokenizer && !section.empty()) {
      const bool due = marks.before == SpaceMarks::Before::sections ||
                       (marks.before == SpaceMarks::Before::text && begins);
      const bool has = section.starts_with(' ') || section.starts_with(kSpaceMark);
      mark_spaces(section, due && !has, marked);
      section = marked;
    }
    encode_plain(section, section.data() + section.size(), 0, out);
  }

  bool is_word(char32_t character) {
    std::string bytes;
    append_utf8(character, bytes);
    word->start(bytes);
    word->next(word_pieces);
    return word_pieces.empty();  // removed
  }

  // Whether a letter, digit or the like stands on either side of text[begin, end).
  bool touches_word(std::string_view text, std::size_t begin, std::size_t end) {
    std::size_t length = 0;
    return (begin > 0 && is_word(last_character(text.substr(0, begin)))) ||
           (end < text.size() && is_word(decode_utf8(text.substr(end), length)));
  }

  // Appends the ids of the tokens that `added` finds, and of the text between them by `between`.
  template <class Between>
  void cut(std::string_view text, const AddedMatcher& added, bool with_specials,
           std::vector<std::int32_t>& out, Between between) {
    std::size_t at = 0;
    for (auto found = added.find(text, 0); found; found = added.find(text, found->end)) {
      const AddedToken& token = *found->token;
      if (token.special && !with_specials) continue;
      if (token.single_word && touches_word(text, found->begin, found->end)) continue;
      const std::size_t begin =
          token.lstrip ? std::max(at, begin_of_space(text, found->begin)) : found->begin;
      const std::size_t end = token.rstrip ? end_of_space(text, found->end) : found->end;
      // A token may be found again in the space that the one before took: its id counts if any of it is left.
      if (begin > at) between(text.substr(at, begin - at));
      if (begin < end) out.push_back(token.id);
      at = end;
    }
    between(text.substr(at));
  }

  std::int64_t encode(std::string_view text, bool with_specials, std::vector<std::int32_t>& out) {
    std::int64_t replaced = 0;
    if (find_invalid_utf8(text) != text.size()) {
      replaced = replace_invalid_utf8(text, repaired);
      text = repaired;
    }
    const AddedPasses& added = with_specials ? tables.all : tables.ordinary;
    cut(text, added.verbatim, with_specials, out, [&](std::string_view rest) {
      const bool begins = rest.data() == text.data();
      rest = tables.normalization.of(rest, normalized);
      cut(rest, added.normalized, with_specials, out, [&](std::string_view section) {
        encode_section(section, begins && section.data() == rest.data(), out);
      });
    });
    return replaced;
  }
};

Encoder::Encoder(const Tokenizer& tokenizer) : state_(std::make_unique<State>(tokenizer)) {}
Encoder::~Encoder() = default;
Encoder::Encoder(Encoder&&) noexcept = default;
Encoder& Encoder::operator=(Encoder&&) noexcept = default;

std::int64_t Encoder::encode_ordinary(std::string_view text, std::vector<std::int32_t>& out) {
  return state_->encode(text, false, out);
}

std::int64_t Encoder::encode_with_specials(std::string_view text, std::vector<std::int32_t>& out) {
  return state_->encode(text, true, out);
}

}  // namespace drover
