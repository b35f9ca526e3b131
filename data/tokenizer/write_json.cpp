// Writes Hugging Face tokenizer.json. What the forms mean: https://huggingface.co/docs/tokenizers/components
#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "data/tokenizer/names.h"
#include "data/tokenizer/spec.h"
#include "data/tokenizer/tokenizer.h"
#include "data/unicode/unicode.h"

namespace drover {
namespace {

using OrderedJson = nlohmann::ordered_json;

// `cuts`: by GPT-2's expression.
OrderedJson byte_level(bool space_before, bool cuts) {
  return {
      {"type", "ByteLevel"}, {"add_prefix_space", space_before}, {"trim_offsets", true}, {"use_regex", cuts}};
}

OrderedJson split(const SplitRule& rule) {
  return {{"type", "Split"},
          {"pattern", {{"Regex", rule.pattern}}},
          {"behavior", name_of(rule.behavior)},
          {"invert", rule.inverted}};
}

OrderedJson metaspace(const SpaceMarks& marks) {
  const char* const scheme = marks.before == SpaceMarks::Before::nothing ? "never"
                             : marks.before == SpaceMarks::Before::text  ? "first"
                                                                         : "always";
  return {{"type", "Metaspace"}, {"replacement", kSpaceMark}, {"prepend_scheme", scheme}, {"split", false}};
}

OrderedJson pre_tokenizer_of(const TokenizerSpec& spec) {
  const bool cuts = spec.prefix_space == PrefixSpace::before_last_rule;
  OrderedJson parts = OrderedJson::array();
  if (spec.marks.writer == SpaceMarks::Writer::pre_tokenizer) parts.push_back(metaspace(spec.marks));
  for (std::size_t rule = 0; rule + cuts < spec.splits.size(); ++rule)
    parts.push_back(split(spec.splits[rule]));
  if (spec.atoms == Atoms::bytes) parts.push_back(byte_level(spec.prefix_space != PrefixSpace::none, cuts));
  if (parts.empty()) return nullptr;
  return {{"type", "Sequence"}, {"pretokenizers", parts}};
}

OrderedJson replace(std::string_view what, std::string_view by) {
  return {{"type", "Replace"}, {"pattern", {{"String", what}}}, {"content", by}};
}

OrderedJson normalizer_of(const TokenizerSpec& spec) {
  OrderedJson parts = OrderedJson::array();
  if (spec.normalizer == Normalizer::nfc) parts.push_back({{"type", "NFC"}});
  if (spec.marks.writer == SpaceMarks::Writer::normalizer) {
    if (spec.marks.before == SpaceMarks::Before::sections)
      parts.push_back({{"type", "Prepend"}, {"prepend", kSpaceMark}});
    parts.push_back(replace(" ", kSpaceMark));
  }
  if (parts.size() < 2) return parts.empty() ? OrderedJson(nullptr) : parts[0];
  return {{"type", "Sequence"}, {"normalizers", parts}};
}

OrderedJson decoder_of(const TokenizerSpec& spec) {
  if (spec.atoms == Atoms::bytes) return byte_level(false, true);
  OrderedJson parts = {replace(kSpaceMark, " "), {{"type", "ByteFallback"}}, {{"type", "Fuse"}}};
  if (puts_space_before(spec))
    parts.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  return {{"type", "Sequence"}, {"decoders", parts}};
}

// BOS, and EOS where only the template can say which token it is.
OrderedJson post_processor_of(const TokenizerSpec& spec) {
  const bool name_eos = spec.eos && spec.eos != conventional_eos(spec);
  if (!spec.bos && !name_eos)
    return spec.atoms == Atoms::bytes ? byte_level(false, true) : OrderedJson(nullptr);
  OrderedJson tokens = OrderedJson::object();
  const auto side = [&](const char* sequence, int type) {
    OrderedJson items = OrderedJson::array();
    const auto special = [&](std::int32_t id) {
      const std::string& name = spec.tokens[std::size_t(id)];
      items.push_back({{"SpecialToken", {{"id", name}, {"type_id", type}}}});
      tokens[name] = {
          {"id", name}, {"ids", OrderedJson::array({id})}, {"tokens", OrderedJson::array({name})}};
    };
    if (spec.bos) special(*spec.bos);
    items.push_back({{"Sequence", {{"id", sequence}, {"type_id", type}}}});
    if (name_eos) special(*spec.eos);
    return items;
  };
  OrderedJson single = side("A", 0), pair = single;
  for (OrderedJson& item : side("B", 1)) pair.push_back(std::move(item));
  return {{"type", "TemplateProcessing"}, {"single", single}, {"pair", pair}, {"special_tokens", tokens}};
}

OrderedJson added_tokens_of(const TokenizerSpec& spec) {
  OrderedJson list = OrderedJson::array();
  for (const AddedToken& token : spec.added) {
    list.push_back({{"id", token.id},
                    {"content", token.content},
                    {"single_word", token.single_word},
                    {"lstrip", token.lstrip},
                    {"rstrip", token.rstrip},
                    {"normalized", token.normalized},
                    {"special", token.special}});
  }
  return list;
}

// Added tokens after the last that merges make are left out, as tokenizers does; it numbers them from the end of
// this table.
OrderedJson model_of(const TokenizerSpec& spec) {
  const std::vector<bool> apart = tokens_apart(spec);
  std::size_t size = spec.tokens.size();
  while (size > 0 && apart[size - 1]) --size;
  // push_back and not [], which searches the whole object each time.
  OrderedJson::object_t vocabulary;
  std::vector<std::string> spelled;
  for (std::size_t id = 0; id < size; ++id) {
    const bool as_it_is = apart[id] || spec.atoms == Atoms::characters;
    spelled.push_back(as_it_is ? spec.tokens[id] : bytes_to_alphabet(spec.tokens[id]));
    vocabulary.push_back({spelled.back(), std::int64_t(id)});
  }
  OrderedJson merges = OrderedJson::array();
  for (const Merge& merge : spec.merges) {
    const std::string &left = spelled[std::size_t(merge.left)], &right = spelled[std::size_t(merge.right)];
    // Bytes are spelled without spaces.
    merges.push_back(spec.atoms == Atoms::bytes ? OrderedJson(left + " " + right)
                                                : OrderedJson::array({left, right}));
  }
  return {{"type", "BPE"},
          {"dropout", nullptr},
          {"unk_token", nullptr},
          {"continuing_subword_prefix", nullptr},
          {"end_of_word_suffix", nullptr},
          {"fuse_unk", false},
          {"byte_fallback", spec.atoms == Atoms::characters},
          {"ignore_merges", spec.ignore_merges},
          {"vocab", std::move(vocabulary)},
          {"merges", std::move(merges)}};
}

}  // namespace

std::string Tokenizer::to_json() const {
  const TokenizerSpec& from = spec();
  const OrderedJson root = {{"version", "1.0"},
                            {"truncation", nullptr},
                            {"padding", nullptr},
                            {"added_tokens", added_tokens_of(from)},
                            {"normalizer", normalizer_of(from)},
                            {"pre_tokenizer", pre_tokenizer_of(from)},
                            {"post_processor", post_processor_of(from)},
                            {"decoder", decoder_of(from)},
                            {"model", model_of(from)}};
  return root.dump(1) + "\n";
}

}  // namespace drover
