// Rules about a TokenizerSpec that its readers, its writers and Tokenizer share.
// Thread rules: pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/tokenizer/tokenizer.h"

namespace drover {

inline constexpr std::int64_t kMaxTokens = 1 << 24;
inline constexpr std::size_t kMaxSplits = 64;
inline constexpr std::size_t kMaxTokenBytes = 1 << 16;
inline constexpr std::size_t kMaxTokenizerFileBytes = std::size_t(1) << 28;

// The token of a byte where atoms are characters: <0x0A>.
std::string byte_token(std::uint8_t byte);
// By id, whether the token was added and no merge makes it.
std::vector<bool> tokens_apart(const TokenizerSpec& spec);
// By id, what the token stands for in text. Of a spec whose atoms are characters; tokens of bytes are their own texts.
std::vector<std::string> texts_of_tokens(const TokenizerSpec& spec);

// Whether ids stay the same if pieces are cut further, before each mark that follows something else: if no merge has
// such a mark at the beginning of its right side, as none has that SentencePiece learned from words, none can cross a
// cut.
bool can_cut_before_marks(const TokenizerSpec& spec);

// Throws an input error that starts with `path` unless all that Tokenizer promises holds.
void check_spec(const TokenizerSpec& spec, std::string_view path);

// See Tokenizer.
bool keeps_text(const TokenizerSpec& spec);
bool puts_space_before(const TokenizerSpec& spec);

// XXH3-128, 32 hexadecimal digits.
std::string spec_digest(const TokenizerSpec& spec);

// By the names of the special tokens, in order of preference.
std::optional<std::int32_t> conventional_bos(const TokenizerSpec& spec);
std::optional<std::int32_t> conventional_eos(const TokenizerSpec& spec);

// Appends special tokens after the last id.
void append_specials(const std::vector<std::string>& names, TokenizerSpec& spec);

}  // namespace drover
