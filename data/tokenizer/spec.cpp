#include "data/tokenizer/spec.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <unordered_map>

#include "core/base/digest.h"
#include "core/base/error.h"
#include "data/tokenizer/bpe_table.h"
#include "data/unicode/unicode.h"

namespace drover {
namespace {

constexpr std::size_t kByteTokenSize = 6;

bool is_one_character(std::string_view text) {
  std::size_t length = 0;
  if (!text.empty()) decode_utf8(text, length);
  return length == text.size();
}

// Of <0x0A>.
std::optional<std::uint8_t> byte_of_token(std::string_view token) {
  if (token.size() != kByteTokenSize || !token.starts_with("<0x")) return std::nullopt;
  std::uint8_t byte = 0;
  const char* const digits = token.data() + 3;
  std::from_chars(digits, digits + 2, byte, 16);
  return byte_token(byte) == token ? std::optional(byte) : std::nullopt;
}

class SpecCheck {
 public:
  SpecCheck(const TokenizerSpec& spec, std::string_view path) : spec_(spec), path_(path) {}

  void run() {
    form();
    splits();
    added();
    tokens();
    bytes();
    merges();
    document_tokens();
  }

 private:
  template <class... Parts>
  [[noreturn]] void refuse(const Parts&... parts) const {
    throw input_error(path_, ": ", parts...);
  }

  // Tokens are printed as tokenizer.json spells them: printable whatever the bytes, and what the reader finds
  // in the file.
  std::string spelled(const std::string& token) const {
    return spec_.atoms == Atoms::bytes ? bytes_to_alphabet(token) : token;
  }
  std::string quoted(const std::string& token) const { return "'" + spelled(token.substr(0, 64)) + "'"; }

  bool is_id(std::int64_t id) const { return id >= 0 && id < std::int64_t(spec_.tokens.size()); }

  void form() const {
    if (spec_.atoms == Atoms::bytes && spec_.marks != SpaceMarks{})
      refuse("spaces are written as U+2581, and tokens are bytes; that is not supported");
    if (spec_.atoms == Atoms::characters && spec_.prefix_space != PrefixSpace::none)
      refuse("a space before pieces goes with tokens of bytes only");
    if (spec_.marks.writer == SpaceMarks::Writer::normalizer &&
        spec_.marks.before == SpaceMarks::Before::text)
      refuse("a normalizer does not know where the text begins; that is not supported");
  }

  void splits() const {
    if (spec_.splits.empty() && spec_.atoms == Atoms::bytes)
      refuse("no rule splits text into pieces; that is not supported");
    if (spec_.splits.size() > kMaxSplits)
      refuse(spec_.splits.size(), " rules split text into pieces; at most ", kMaxSplits);
    const bool own_last = spec_.prefix_space == PrefixSpace::before_last_rule;
    if (own_last && spec_.splits.back() != SplitRule{.pattern = kGpt2Pattern})
      refuse("a space before what the last rule cuts goes with GPT-2's pattern only");
  }

  void tokens() const {
    std::unordered_map<std::string, std::size_t> ids;  // by the spelling in tokenizer.json
    ids.reserve(spec_.tokens.size());
    for (std::size_t id = 0; id < spec_.tokens.size(); ++id) {
      const std::string& token = spec_.tokens[id];
      if (token.empty()) refuse("token ", id, " is empty; every id must stand for at least one byte");
      if (token.size() > kMaxTokenBytes)
        refuse("token ", id, " has ", token.size(), " bytes; at most ", kMaxTokenBytes);
      if (spec_.atoms == Atoms::characters && find_invalid_utf8(token) != token.size())
        refuse("token ", id, " is not UTF-8");
      const auto [other, fresh] = ids.emplace(apart_[id] ? token : spelled(token), id);
      if (!fresh) refuse("tokens ", other->second, " and ", id, " are both ", quoted(token), "; remove one");
    }
  }

  void added() {
    if (std::int64_t(spec_.tokens.size()) > kMaxTokens)
      refuse(spec_.tokens.size(), " tokens; at most ", kMaxTokens);
    special_.resize(spec_.tokens.size());
    apart_.resize(spec_.tokens.size());
    std::int64_t last = -1;
    for (const AddedToken& token : spec_.added) {
      if (!is_id(token.id))
        refuse("added token '", token.content, "' has id ", token.id, " outside the vocabulary");
      if (token.id <= last) refuse("added token ids must increase; ", token.id, " comes after ", last);
      if (spec_.tokens[std::size_t(token.id)] != token.content) {
        refuse("added token ", token.id, " is '", token.content, "', but the vocabulary says ",
               quoted(spec_.tokens[std::size_t(token.id)]));
      }
      if (find_invalid_utf8(token.content) != token.content.size())
        refuse("added token ", token.id, " is not UTF-8");
      if (spec_.atoms == Atoms::characters && token.special && is_one_character(token.content))
        refuse("the special token '", token.content, "' is a single character; that is not supported");
      if (token.special && token.in_vocabulary)
        refuse("added token '", token.content, "' cannot be special and be made by merges");
      special_[std::size_t(token.id)] = token.special;
      apart_[std::size_t(token.id)] = !token.in_vocabulary;
      last = token.id;
    }
  }

  // The byte that the ordinary token stands for by itself, if it does.
  std::optional<std::uint8_t> byte_of(const std::string& token) const {
    if (spec_.atoms == Atoms::bytes)
      return token.size() == 1 ? std::optional<std::uint8_t>(token[0]) : std::nullopt;
    return byte_of_token(token);
  }

  void bytes() const {
    std::array<bool, 256> present{};
    for (std::size_t id = 0; id < spec_.tokens.size(); ++id) {
      if (const auto byte = byte_of(spec_.tokens[id]); byte && !apart_[id]) present[*byte] = true;
    }
    const auto missing = std::ranges::count(present, false);
    if (missing == 0) return;
    const auto first = std::uint8_t(std::ranges::find(present, false) - present.begin());
    refuse("the vocabulary lacks ", missing, " of the 256 single bytes, the first of them ", int(first),
           " (spelled '",
           spec_.atoms == Atoms::bytes ? spelled(std::string(1, char(first))) : byte_token(first),
           "'); text with them could not be encoded, so use a complete vocabulary");
  }

  void merges() const {
    PairTable<bool> seen(spec_.merges.size());
    std::int32_t last = 0;
    for (std::size_t at = 0; at < spec_.merges.size(); ++at) {
      const Merge& merge = spec_.merges[at];
      for (const std::int32_t id : {merge.left, merge.right, merge.merged}) {
        if (!is_id(id))
          refuse("merge ", at, " has id ", id, " outside the vocabulary of ", spec_.tokens.size());
        if (apart_[std::size_t(id)])
          refuse("merge ", at, " involves the added token ", quoted(spec_.tokens[std::size_t(id)]));
      }
      const std::string &left = spec_.tokens[std::size_t(merge.left)],
                        &right = spec_.tokens[std::size_t(merge.right)];
      if (left + right != spec_.tokens[std::size_t(merge.merged)]) {
        refuse("merge ", at, ", ", quoted(left), " + ", quoted(right), ", cannot make ",
               quoted(spec_.tokens[std::size_t(merge.merged)]));
      }
      if (merge.rank < last)
        refuse("merge ", at, " has rank ", merge.rank, " after ", last, "; ranks must not decrease");
      bool& repeated = seen.at_or_add(pair_key(merge.left, merge.right));
      if (repeated)
        refuse("merge ", at, ", ", quoted(left), " + ", quoted(right), ", is there twice; remove one");
      repeated = true;
      last = merge.rank;
    }
  }

  void document_tokens() const {
    for (const auto& id : {spec_.bos, spec_.eos}) {
      if (id && !(is_id(*id) && special_[std::size_t(*id)]))
        refuse("begin or end of text is ", *id, ", not a special token's id");
    }
  }

  const TokenizerSpec& spec_;
  std::string_view path_;
  std::vector<bool> special_;
  std::vector<bool> apart_;  // added and not made by merges: an ordinary token may have the same bytes
};

class SpecDigest {
 public:
  SpecDigest& add(std::int64_t value) { return raw(&value, sizeof value); }
  SpecDigest& add(std::string_view text) {
    return add(std::int64_t(text.size())).raw(text.data(), text.size());
  }
  std::string value() const { return hex(stream_.value()); }

 private:
  SpecDigest& raw(const void* bytes, std::size_t count) {
    stream_.add({static_cast<const std::byte*>(bytes), count});
    return *this;
  }
  DigestStream stream_;
};

std::optional<std::int32_t> first_special(const TokenizerSpec& spec,
                                          std::initializer_list<std::string_view> names) {
  for (const std::string_view name : names) {
    for (const AddedToken& token : spec.added) {
      if (token.special && token.content == name) return token.id;
    }
  }
  return std::nullopt;
}

}  // namespace

void check_spec(const TokenizerSpec& spec, std::string_view path) { SpecCheck(spec, path).run(); }

std::string byte_token(std::uint8_t byte) {
  constexpr char kDigits[] = "0123456789ABCDEF";
  return {'<', '0', 'x', kDigits[byte / 16], kDigits[byte % 16], '>'};
}

std::vector<bool> tokens_apart(const TokenizerSpec& spec) {
  std::vector<bool> apart(spec.tokens.size());
  for (const AddedToken& token : spec.added) apart[std::size_t(token.id)] = !token.in_vocabulary;
  return apart;
}

std::vector<std::string> texts_of_tokens(const TokenizerSpec& spec) {
  const std::vector<bool> apart = tokens_apart(spec);
  std::vector<std::string> texts = spec.tokens;
  for (std::size_t id = 0; id < texts.size(); ++id) {
    if (apart[id]) continue;
    const auto byte = byte_of_token(texts[id]);
    texts[id] = byte ? std::string(1, char(*byte)) : unmark_spaces(texts[id]);
  }
  return texts;
}

bool can_cut_before_marks(const TokenizerSpec& spec) {
  const auto joins = [&](const Merge& merge) {
    return spec.tokens[std::size_t(merge.right)].starts_with(kSpaceMark) &&
           !spec.tokens[std::size_t(merge.left)].ends_with(kSpaceMark);
  };
  const auto mark = std::ranges::find(spec.tokens, kSpaceMark);
  return spec.atoms == Atoms::characters && !spec.ignore_merges && mark != spec.tokens.end() &&
         !tokens_apart(spec)[std::size_t(mark - spec.tokens.begin())] &&
         std::ranges::none_of(spec.merges, joins);
}

bool puts_space_before(const TokenizerSpec& spec) {
  return spec.prefix_space != PrefixSpace::none || spec.marks.before != SpaceMarks::Before::nothing;
}

bool keeps_text(const TokenizerSpec& spec) {
  const auto removes = [](const SplitRule& rule) { return rule.behavior == SplitBehavior::removed; };
  const auto takes_space = [](const AddedToken& token) { return token.lstrip || token.rstrip; };
  return spec.atoms == Atoms::bytes && spec.normalizer == Normalizer::none && !puts_space_before(spec) &&
         std::ranges::none_of(spec.splits, removes) && std::ranges::none_of(spec.added, takes_space);
}

namespace {

// Whether version 1 of the digest says all: the digests of what it could say are in stores.
bool is_plain(const TokenizerSpec& spec) {
  const auto& splits = spec.splits;
  const auto plain = [](const AddedToken& token) {
    return !token.single_word && !token.lstrip && !token.rstrip;
  };
  return spec.atoms == Atoms::bytes && spec.normalizer == Normalizer::none &&
         spec.prefix_space == PrefixSpace::none && splits.size() == 1 &&
         splits[0] == SplitRule{.pattern = splits[0].pattern} && std::ranges::all_of(spec.added, plain);
}

void add_splits(const TokenizerSpec& spec, SpecDigest& digest) {
  if (is_plain(spec)) {
    digest.add("drover tokenizer 1").add(spec.splits[0].pattern);
    return;
  }
  if (spec.atoms == Atoms::characters)
    digest.add("drover tokenizer 3")
        .add(std::int64_t(spec.marks.writer))
        .add(std::int64_t(spec.marks.before));
  else
    digest.add("drover tokenizer 2");
  digest.add(std::int64_t(spec.normalizer)).add(std::int64_t(spec.prefix_space));
  digest.add(std::int64_t(spec.splits.size()));
  for (const SplitRule& rule : spec.splits)
    digest.add(rule.pattern).add(std::int64_t(rule.behavior)).add(rule.inverted);
}

std::int64_t flags_of(const AddedToken& token) {
  return token.special + 2 * token.normalized + 4 * token.single_word + 8 * token.lstrip + 16 * token.rstrip;
}

}  // namespace

std::string spec_digest(const TokenizerSpec& spec) {
  SpecDigest digest;
  add_splits(spec, digest);
  digest.add(spec.ignore_merges).add(std::int64_t(spec.tokens.size()));
  for (const std::string& token : spec.tokens) digest.add(token);
  // Ranks count only relative to each other, so that a gap in a file's numbering means nothing.
  digest.add(std::int64_t(spec.merges.size()));
  std::int64_t order = 0;
  for (std::size_t at = 0; at < spec.merges.size(); ++at) {
    const Merge& merge = spec.merges[at];
    order += at > 0 && merge.rank != spec.merges[at - 1].rank;
    digest.add(merge.left).add(merge.right).add(order);
  }
  digest.add(std::int64_t(spec.added.size()));
  const bool plain = is_plain(spec);
  for (const AddedToken& token : spec.added)
    digest.add(token.id).add(flags_of(token) + (plain ? 0 : 32 * token.in_vocabulary));
  return digest.add(spec.bos.value_or(-1)).add(spec.eos.value_or(-1)).value();
}

std::optional<std::int32_t> conventional_bos(const TokenizerSpec& spec) {
  return first_special(spec, {"<|begin_of_text|>", "<s>", "<bos>", "<｜begin▁of▁sentence｜>"});
}

std::optional<std::int32_t> conventional_eos(const TokenizerSpec& spec) {
  return first_special(spec, {"<|end_of_text|>", "<|endoftext|>", "</s>", "<eos>", "<｜end▁of▁sentence｜>"});
}

void append_specials(const std::vector<std::string>& names, TokenizerSpec& spec) {
  for (const std::string& name : names) {
    spec.added.push_back({.id = std::int32_t(spec.tokens.size()), .content = name, .special = true});
    spec.tokens.push_back(name);
  }
}

}  // namespace drover
