// Reads Hugging Face tokenizer.json. What the forms mean:
// https://huggingface.co/docs/tokenizers/components
#include <algorithm>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "core/base/error.h"
#include "core/base/json_text.h"
#include "data/tokenizer/names.h"
#include "data/tokenizer/spec.h"
#include "data/tokenizer/tokenizer.h"
#include "data/unicode/unicode.h"

namespace drover {
namespace {

using Json = nlohmann::json;

class JsonReader {
 public:
  explicit JsonReader(std::string_view path) : path_(path) {}

  TokenizerSpec read(std::string_view text) {
    if (text.size() > kMaxTokenizerFileBytes) refuse(text.size(), " bytes is too large for a tokenizer.json");
    const Json root = parse(text);
    const Json& model = member(root, "model", Json::value_t::object);
    if (flag(model, "byte_fallback", false)) spec_.atoms = Atoms::characters;
    if (!is_null(root, "normalizer")) read_normalizer(root["normalizer"]);
    if (of_bytes() || !is_null(root, "pre_tokenizer"))
      read_pre_tokenizer(member(root, "pre_tokenizer", Json::value_t::object));
    check_decoder(root);
    entries_ = member(model, "vocab", Json::value_t::object).size() +
               (root.contains("added_tokens") ? root["added_tokens"].size() : 0);
    read_added(root);
    read_model(model);
    spec_.bos = conventional_bos(spec_);
    spec_.eos = conventional_eos(spec_);
    if (!is_null(root, "post_processor")) read_post_processor(root["post_processor"]);
    return std::move(spec_);
  }

 private:
  template <class... Parts>
  [[noreturn]] void refuse(const Parts&... parts) const {
    throw input_error(path_, ": ", parts...);
  }

  Json parse(std::string_view text) const {
    if (json_is_deeper_than(text))
      refuse("nested deeper than ", kMaxJsonLevels, " levels; this is no tokenizer.json");
    try {
      Json root = Json::parse(text);
      if (!root.is_object()) refuse("a tokenizer.json must be an object, not ", root.type_name());
      return root;
    } catch (const Json::parse_error& error) {
      const std::size_t at = std::max<std::size_t>(error.byte, 1) - 1;
      throw input_error(path_, place_in(text, at),
                        ": not valid JSON; copy the file again, it may be incomplete");
    } catch (const Json::exception&) {
      refuse("not valid JSON: a number in it is too large");
    }
  }

  static bool is_null(const Json& object, const char* key) {
    return !object.contains(key) || object[key].is_null();
  }

  const Json& member(const Json& object, const char* key, Json::value_t type) const {
    if (!object.is_object() || !object.contains(key))
      refuse("'", key, "' is missing; is this a tokenizer.json?");
    const bool both_numbers = type == Json::value_t::number_integer && object[key].is_number_integer();
    if (object[key].type() != type && !both_numbers)
      refuse("'", key, "' must be ", Json(type).type_name(), ", not ", object[key].type_name());
    return object[key];
  }

  std::string string(const Json& object, const char* key) const {
    return member(object, key, Json::value_t::string);
  }

  bool flag(const Json& object, const char* key, bool otherwise) const {
    return is_null(object, key) ? otherwise : bool(member(object, key, Json::value_t::boolean));
  }

  std::int32_t token_id(const Json& value, std::string_view token) const {
    const auto id = value.is_number_integer() ? value.get<std::int64_t>() : -1;
    if (id < 0 || id >= kMaxTokens)
      refuse("token '", token, "' has id ", value.dump(), "; ids are integers from 0 to ", kMaxTokens - 1);
    return std::int32_t(id);
  }

  std::string type_of(const Json& object) const { return string(object, "type"); }

  // One element, or those of a Sequence.
  std::vector<Json> parts_of(const Json& object, const char* list) const {
    if (type_of(object) != "Sequence") return {object};
    return member(object, list, Json::value_t::array).get<std::vector<Json>>();
  }

  bool of_bytes() const { return spec_.atoms == Atoms::bytes; }

  // One after another NFC is as one; so is a Sequence of nothing as none.
  void read_normalizer(const Json& object) {
    bool replaced = false;
    for (const Json& part : parts_of(object, "normalizers")) {
      const std::string type = type_of(part);
      if (type == "NFC") {
        spec_.normalizer = Normalizer::nfc;
      } else if (type == "Prepend" && string(part, "prepend") == kSpaceMark && !of_bytes()) {
        spec_.marks.before = SpaceMarks::Before::sections;
      } else if (type == "Replace" && replaces_spaces(part) && !of_bytes()) {
        replaced = true;
      } else {
        refuse("the normalizer ", type,
               " is not supported; only NFC is, and, with byte_fallback, to Prepend \"", kSpaceMark,
               "\" and to Replace \" \" by it");
      }
    }
    if (replaced) spec_.marks.writer = SpaceMarks::Writer::normalizer;
    if (!replaced && spec_.marks.before != SpaceMarks::Before::nothing)
      refuse("the normalizer has Prepend without Replace; that is not supported");
  }

  bool replaces_spaces(const Json& part) const {
    const Json& pattern = member(part, "pattern", Json::value_t::object);
    return pattern.contains("String") && string(pattern, "String") == " " &&
           string(part, "content") == kSpaceMark;
  }

  void read_pre_tokenizer(const Json& object) {
    for (const Json& part : parts_of(object, "pretokenizers")) {
      const std::string type = type_of(part);
      if (byte_level_) refuse("the pre_tokenizer has ", type, " after ByteLevel; that is not supported");
      if (type == "Split") {
        spec_.splits.push_back(split_rule(part));
      } else if (type == "Digits") {
        spec_.splits.push_back(digits_rule(part));
      } else if (type == "ByteLevel" && of_bytes()) {
        read_byte_level(part);
      } else if (type == "Metaspace" && !of_bytes()) {
        read_metaspace(part);
      } else {
        refuse("the pre_tokenizer ", type, " is not supported; only Split, Digits and ",
               of_bytes() ? "ByteLevel are" : "Metaspace are with byte_fallback");
      }
    }
    if (!of_bytes()) return;
    if (!byte_level_)
      refuse(
          "the pre_tokenizer has no ByteLevel, and the model no byte_fallback; only BPE over bytes or with "
          "these is supported");
    if (spec_.splits.empty())
      refuse("the pre_tokenizer splits by no regular expression; that is not supported");
  }

  // https://github.com/huggingface/tokenizers, src/pre_tokenizers/metaspace.rs
  void read_metaspace(const Json& part) {
    if (string(part, "replacement") != kSpaceMark || spec_.marks != SpaceMarks{} || !spec_.splits.empty())
      refuse("the pre_tokenizer's Metaspace writes other than \"", kSpaceMark,
             "\", or marks are written twice, or after a Split; that is not supported");
    const std::string scheme = is_null(part, "prepend_scheme") ? "always" : string(part, "prepend_scheme");
    spec_.marks.writer = SpaceMarks::Writer::pre_tokenizer;
    if (scheme == "always") {
      spec_.marks.before = SpaceMarks::Before::sections;
    } else if (scheme == "first") {
      spec_.marks.before = SpaceMarks::Before::text;
    } else if (scheme != "never") {
      refuse("the pre_tokenizer's Metaspace has the unknown prepend_scheme ", scheme);
    }
    if (!flag(part, "add_prefix_space", true)) spec_.marks.before = SpaceMarks::Before::nothing;
    if (flag(part, "split", true))
      spec_.splits.push_back(
          {.pattern = std::string(kSpaceMark), .behavior = SplitBehavior::merged_with_next});
  }

  void read_byte_level(const Json& part) {
    const bool cuts = flag(part, "use_regex", true);
    if (cuts) spec_.splits.push_back({.pattern = kGpt2Pattern});
    if (flag(part, "add_prefix_space", true))
      spec_.prefix_space = cuts ? PrefixSpace::before_last_rule : PrefixSpace::after_rules;
    byte_level_ = true;
  }

  // By Rust's is_numeric: N of Unicode 17, which has these more than that of 16.
  SplitRule digits_rule(const Json& part) const {
    const bool each = flag(part, "individual_digits", false);
    return {.pattern = R"([\p{N}\x{11DE0}-\x{11DE9}\x{16FF4}-\x{16FF6}])",
            .behavior = each ? SplitBehavior::isolated : SplitBehavior::contiguous};
  }

  SplitRule split_rule(const Json& part) const {
    const Json& pattern = member(part, "pattern", Json::value_t::object);
    const auto behavior = split_behavior_of(string(part, "behavior"));
    if (!behavior) refuse("the pre_tokenizer's Split has the unknown behavior ", string(part, "behavior"));
    return {
        .pattern = pattern.contains("String") ? escaped(string(pattern, "String")) : string(pattern, "Regex"),
        .behavior = *behavior,
        .inverted = flag(part, "invert", false)};
  }

  // As an expression that matches just this text.
  static std::string escaped(const std::string& text) {
    std::string pattern;
    for (const char c : text) {
      if (std::string_view(R"(\.^$|()[]{}*+?)").find(c) != std::string_view::npos) pattern += '\\';
      pattern += c;
    }
    return pattern;
  }

  void check_decoder(const Json& root) const {
    if (is_null(root, "decoder")) return;
    for (const Json& part : parts_of(root["decoder"], "decoders")) {
      const std::string type = type_of(part);
      const std::vector<std::string_view> known =
          of_bytes() ? std::vector<std::string_view>{"ByteLevel"}
                     : std::vector<std::string_view>{"Replace", "ByteFallback", "Fuse", "Strip", "Metaspace"};
      if (std::ranges::find(known, type) == known.end())
        refuse("the decoder ", type, " is not supported; only ",
               of_bytes() ? "ByteLevel is" : "those of SentencePiece are with byte_fallback");
    }
  }

  void read_added(const Json& root) {
    if (is_null(root, "added_tokens")) return;
    for (const Json& token : member(root, "added_tokens", Json::value_t::array)) {
      const std::string content = string(token, "content");
      const std::int32_t id = token_id(member(token, "id", Json::value_t::number_integer), content);
      const bool special = flag(token, "special", false);
      spec_.added.push_back({.id = id,
                             .content = content,
                             .special = special,
                             .normalized = flag(token, "normalized", !special),
                             .single_word = flag(token, "single_word", false),
                             .lstrip = flag(token, "lstrip", false),
                             .rstrip = flag(token, "rstrip", false)});
      place(id, content);
    }
    std::ranges::sort(spec_.added, {}, &AddedToken::id);
  }

  // Ids are dense, so none reaches the number of entries; that bounds the memory before it is taken.
  void place(std::int32_t id, std::string bytes) {
    if (std::size_t(id) >= entries_) {
      refuse("token '", bytes, "' has id ", id, " although there are only ", entries_,
             " tokens; ids must be dense");
    }
    if (std::size_t(id) >= spec_.tokens.size()) spec_.tokens.resize(std::size_t(id) + 1);
    if (!spec_.tokens[std::size_t(id)].empty()) {
      refuse("id ", id, " belongs to both '", spec_.tokens[std::size_t(id)], "' and '", bytes,
             "'; ids must be unique");
    }
    spec_.tokens[std::size_t(id)] = std::move(bytes);
  }

  void read_model(const Json& model) {
    if (model.contains("type") && string(model, "type") != "BPE")
      refuse("the model ", string(model, "type"), " is not supported; only BPE is");
    for (const char* affix : {"continuing_subword_prefix", "end_of_word_suffix"}) {
      if (!is_null(model, affix) && !string(model, affix).empty())
        refuse(affix, " '", string(model, affix), "' is not supported");
    }
    if (!is_null(model, "dropout") && model["dropout"] != 0.0)
      refuse("BPE dropout is not supported; set it to null");
    spec_.ignore_merges = flag(model, "ignore_merges", false);
    read_vocabulary(member(model, "vocab", Json::value_t::object));
    read_merges(member(model, "merges", Json::value_t::array));
  }

  void read_vocabulary(const Json& vocabulary) {
    for (const auto& [spelled, value] : vocabulary.items()) {
      const std::int32_t id = token_id(value, spelled);
      ids_.emplace(spelled, id);
      const auto token_text = of_bytes() ? alphabet_to_bytes(spelled) : std::optional(spelled);
      if (AddedToken* const token = added(id, spelled)) {
        token->in_vocabulary = !token->special && token_text == spelled;
        continue;
      }
      if (!token_text)
        refuse("token '", spelled,
               "' has a character outside the byte-level alphabet (a space is spelled \u0120); restore the "
               "file");
      place(id, *token_text);
    }
    for (std::size_t id = 0; id < spec_.tokens.size(); ++id) {
      if (spec_.tokens[id].empty())
        refuse("no token has id ", id, " although ids go to ", spec_.tokens.size() - 1,
               "; ids must be dense, so add a reserved token there");
    }
  }

  // The added token listed in the vocabulary too, spelled as it is; null if it is none.
  AddedToken* added(std::int32_t id, const std::string& spelled) {
    const auto token = std::ranges::lower_bound(spec_.added, id, {}, &AddedToken::id);
    return token != spec_.added.end() && token->id == id && token->content == spelled ? &*token : nullptr;
  }

  void read_merges(const Json& merges) {
    spec_.merges.reserve(merges.size());
    for (const Json& merge : merges) {
      const auto [left, right] = merge_parts(merge);
      spec_.merges.push_back({.left = id_of(left, merge),
                              .right = id_of(right, merge),
                              .merged = id_of(left + right, merge),
                              .rank = std::int32_t(spec_.merges.size())});
    }
  }

  std::pair<std::string, std::string> merge_parts(const Json& merge) const {
    if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string())
      return {merge[0], merge[1]};
    const std::string text = merge.is_string() ? merge.get<std::string>() : "";
    const std::size_t space = text.find(' ');
    if (space == std::string::npos || text.find(' ', space + 1) != std::string::npos) {
      refuse("merge ", spec_.merges.size(), " is ", merge.dump(), R"(; expected "a b" or ["a", "b"])");
    }
    return {text.substr(0, space), text.substr(space + 1)};
  }

  std::int32_t id_of(const std::string& spelled, const Json& merge) const {
    const auto found = ids_.find(spelled);
    if (found == ids_.end())
      refuse("merge ", spec_.merges.size(), ", ", merge.dump(), ", needs the token '", spelled,
             "', which is not in the vocabulary");
    return found->second;
  }

  void read_post_processor(const Json& object) {
    for (const Json& part : parts_of(object, "processors")) {
      const std::string type = type_of(part);
      if (type == "ByteLevel") continue;  // offsets only
      if (type == "TemplateProcessing") {
        read_template(member(part, "single", Json::value_t::array));
      } else if (type == "RobertaProcessing" || type == "BertProcessing") {
        spec_.bos = end_of(part, "cls");
        spec_.eos = end_of(part, "sep");
      } else {
        refuse("the post_processor ", type,
               " is not supported; only ByteLevel, TemplateProcessing, RobertaProcessing and BertProcessing "
               "are");
      }
    }
  }

  // A pair of name and id.
  std::int32_t end_of(const Json& part, const char* key) const {
    const Json& pair = member(part, key, Json::value_t::array);
    if (pair.size() != 2 || !pair[0].is_string())
      refuse("the post_processor's ", key, " must be a name and an id");
    return special_id(pair[0].get<std::string>());
  }

  void read_template(const Json& items) {
    bool after_text = false;
    bool first = true, last = true;
    for (const Json& item : items) {
      if (item.contains("Sequence")) {
        after_text = true;
        continue;
      }
      const std::string name = string(member(item, "SpecialToken", Json::value_t::object), "id");
      if (!std::exchange(after_text ? last : first, false))
        refuse("the post_processor adds more than one token on a side; that is not supported");
      (after_text ? spec_.eos : spec_.bos) = special_id(name);
    }
  }

  std::int32_t special_id(const std::string& name) const {
    const auto token = std::ranges::find(spec_.added, name, &AddedToken::content);
    if (token == spec_.added.end())
      refuse("the post_processor names '", name, "', which is not among added_tokens");
    return token->id;
  }

  std::string_view path_;
  TokenizerSpec spec_;
  bool byte_level_ = false;
  std::size_t entries_ = 0;                            // of the vocabulary and the added tokens together
  std::unordered_map<std::string, std::int32_t> ids_;  // by spelling
};

}  // namespace

Tokenizer Tokenizer::from_json(std::string_view text, std::string_view path) {
  return Tokenizer(JsonReader(path).read(text), path);
}

}  // namespace drover
