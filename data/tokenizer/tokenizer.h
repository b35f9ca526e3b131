// BPE: text to token ids and back, exactly as Hugging Face `tokenizers` and OpenAI's `tiktoken` do it, over bytes
// (Llama 3, GPT-2 and their kin) or over characters with bytes for those that are no token (SentencePiece's: Llama 2,
// Mistral 7B).
//
// A Tokenizer is an immutable value that shares its tables between copies. It is read from a tokenizer.json
// or a tiktoken ranks file (Llama 3's tokenizer.model), or trained (data/tokenizer/bpe_train.h).
//
// How text becomes ids: invalid UTF-8 is replaced; added tokens that are not `normalized` are cut out; what lies
// between them is normalized; the other added tokens are cut out of that; rules split the rest into pieces, each
// rule the pieces of the one before; and the bytes or characters of each piece are merged pair by pair, lowest rank
// first, leftmost first among equals.
//
// Special tokens: encode_ordinary never makes a special id; their names in text are encoded as text
// (tiktoken's encode_ordinary; tokenizers with encode_special_tokens = true). Added tokens that are not
// special (`"special": false`) belong to the vocabulary of ordinary text, as in tokenizers.
// encode_with_specials recognises both kinds. They are looked for leftmost first, longest among equals; and within
// a special token's name that is encoded as text no shorter token is looked for.
//
// Invalid UTF-8: each maximal ill-formed subsequence becomes one U+FFFD before anything else, as Python's
// bytes.decode("utf-8", errors="replace") does before it calls either library; the encode functions return
// how many. For valid UTF-8 decode(encode(text)) == text, NUL, CR LF and byte order marks included, if the
// tokenizer `keeps_text`: it does not normalize, put spaces before pieces, write spaces as marks, remove pieces, or have
// tokens that take the spaces beside them.
//
// Errors: files are untrusted; anything malformed or not supported is Error{Exit::input} naming the file, the
// offending value and what to do. Thread rules: const member functions of Tokenizer may be called from any
// threads at once; an Encoder belongs to one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/tokenizer/space_marks.h"
#include "data/tokenizer/split_rule.h"

namespace drover {

// Split patterns, as their tokenizer.json writes them.
extern const char* const kLlama3Pattern;
extern const char* const kGpt2Pattern;

// A token recognised by its text before the split.
struct AddedToken {
  std::int32_t id = 0;
  std::string content;
  bool special = true;
  bool normalized = false;   // looked for in normalized text, its own text normalized likewise
  bool single_word = false;  // only where no letter, digit or the like stands beside it
  bool lstrip = false;       // takes the white space before it...
  bool rstrip = false;       // ...and after it
  // Listed in the vocabulary, so that merges may make it too. Not for special tokens.
  bool in_vocabulary = false;
};

// One rule: `left` followed by `right` becomes `merged`. Lower ranks merge first; equal ranks (tiktoken)
// leftmost first.
struct Merge {
  std::int32_t left = 0;
  std::int32_t right = 0;
  std::int32_t merged = 0;
  std::int32_t rank = 0;
};

// What a piece is cut into before anything is merged: bytes, or characters, of which those that are no token are cut into
// bytes (tokenizer.json's byte_fallback).
enum class Atoms : std::uint8_t { bytes, characters };

enum class Normalizer : std::uint8_t { none, nfc };

// A space before each piece that does not begin with one: put there before the last rule cuts the piece (tokenizers'
// ByteLevel with its own expression), or after all rules have.
enum class PrefixSpace : std::uint8_t { none, before_last_rule, after_rules };

// All that defines a tokenizer, as a plain value.
struct TokenizerSpec {
  Atoms atoms = Atoms::bytes;
  Normalizer normalizer = Normalizer::none;
  SpaceMarks marks;               // of characters
  std::vector<SplitRule> splits;  // each cuts the pieces of the one before; at least one of bytes
  PrefixSpace prefix_space = PrefixSpace::none;  // of bytes
  // Of every id, added tokens included; index = id. The token's bytes, or its characters as merges spell them, with marks
  // for spaces and `<0x0A>` for a byte.
  std::vector<std::string> tokens;
  std::vector<Merge> merges;        // increasing rank
  bool ignore_merges = false;       // a piece that is a token is that token, whatever the merges say
  std::vector<AddedToken> added;    // increasing id
  std::optional<std::int32_t> bos;  // put before a document
  std::optional<std::int32_t> eos;  // put after a document
};

// What a tiktoken ranks file doesn't say. Special tokens get the ids after the last rank, in this order.
struct TiktokenForm {
  std::string pattern;
  std::vector<std::string> specials;
};
TiktokenForm llama3_tiktoken_form();  // Llama 3.1's 256 special tokens

class Tokenizer {
 public:
  // Decides by content: a file that starts with '{' is a tokenizer.json, else a tiktoken ranks file in Llama
  // 3's form.
  static Tokenizer load(const std::string& path);
  // `path` only names the file in messages. bos and eos are those of a TemplateProcessing post-processor if
  // it has them; else the special tokens <|begin_of_text|> or <s>, and <|end_of_text|>, <|endoftext|> or
  // </s>, if present; else none.
  static Tokenizer from_json(std::string_view text, std::string_view path);
  static Tokenizer from_tiktoken(std::string_view text, std::string_view path,
                                 const TiktokenForm& form = llama3_tiktoken_form());
  // Checks every invariant of `spec`: all 256 bytes are tokens, no two tokens are equal, merges fit together,
  // ids exist, and what it has is of its kind of atoms.
  Tokenizer(TokenizerSpec spec, std::string_view path);

  std::int64_t vocab_size() const;  // V, added tokens included; every id in [0, V) is a token
  std::optional<std::int32_t> bos() const;
  std::optional<std::int32_t> eos() const;
  std::optional<std::int32_t> special(std::string_view name) const;  // id of a special added token
  bool is_special(std::int32_t id) const;
  // What the token stands for in text. Lives as long as any copy of this tokenizer.
  std::string_view token_bytes(std::int32_t id) const;

  // Concatenated bytes of the tokens, special ones by name. May end inside a UTF-8 character. An id outside
  // [0, V) is an input error.
  std::string decode(std::span<const std::int32_t> ids) const;

  // One-off calls; encode much text with an Encoder.
  std::vector<std::int32_t> encode_ordinary(std::string_view text) const;
  std::vector<std::int32_t> encode_with_specials(std::string_view text) const;

  // How often the name of a special token occurs in text (which encode_ordinary encodes as text).
  std::int64_t count_special_names(std::string_view text) const;

  // XXH3-128, 32 lower-case hexadecimal digits, of everything that decides ids: normalizer, rules,
  // tokens, merges, added tokens, bos, eos. A ranks file and the tokenizer.json made from it differ (the latter can't
  // express equal ranks).
  const std::string& digest() const;

  // Hugging Face tokenizer.json, of the form of Llama 3's or Llama 2's; `tokenizers` and Transformers load it.
  std::string to_json() const;

  // Whether decoding gives back every text.
  bool keeps_text() const;
  // Whether decoding a text gives a space before it that it may not have had.
  bool puts_space_before() const;

  const TokenizerSpec& spec() const;

 private:
  friend class Encoder;
  struct Tables;
  std::shared_ptr<const Tables> tables_;
};

// The mutable half of encoding, for one thread: match data, piece cache (4 MiB at most), work arrays.
class Encoder {
 public:
  explicit Encoder(const Tokenizer& tokenizer);
  ~Encoder();
  Encoder(Encoder&&) noexcept;
  Encoder& operator=(Encoder&&) noexcept;

  // Append the ids of `text` to `out`; BOS and EOS are the caller's. Return the number of U+FFFD put in for
  // invalid UTF-8. A piece costs O(n log n) in its length; work memory is about 32 bytes per byte of the
  // longest piece. Throws an input error when the split pattern exceeds its match limits (data/tokenizer/split.h);
  // `out` then holds the ids of the pieces before.
  std::int64_t encode_ordinary(std::string_view text, std::vector<std::int32_t>& out);
  std::int64_t encode_with_specials(std::string_view text, std::vector<std::int32_t>& out);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace drover
