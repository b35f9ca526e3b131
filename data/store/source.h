// Where tokens come from: a fixed sequence of tokens cut into documents, readable at random. Implemented by
// TokenStore (a file) and SyntheticSource (a formula).
//
// Thread rules: everything is const and may be called from any number of threads at once.
// Memory: an implementation may not hold O(tokens) or O(documents) memory of its own (mapped files don't
// count).
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace drover {

class TokenSource {
 public:
  virtual ~TokenSource() = default;

  // Names the content and is part of the key of its feed's order, so it must not change when the file moves.
  virtual const std::string& name() const = 0;
  // What messages call it: a store's path.
  virtual std::string where() const { return name(); }
  virtual std::int64_t document_count() const = 0;
  // Where document `document` starts, in tokens; offset(0) == 0, never decreasing, offset(document_count())
  // == total_tokens(). Document in [0, document_count()]. Cheap: it is binary-searched.
  virtual std::int64_t offset(std::int64_t document) const = 0;
  // Tokens [begin, begin + out.size()), which must lie in [0, total_tokens()]. Throws Error{input} when they
  // can't be read.
  virtual void read(std::int64_t begin, std::span<std::int32_t> out) const = 0;

  // Every token is in [0, vocab_size()).
  virtual std::int64_t vocab_size() const = 0;
  // Of the tokenizer that made the tokens; a model is only trained and evaluated on sources with one digest.
  virtual const std::string& tokenizer_digest() const = 0;
  // Bytes of the documents' text, without what --bos and --eos added: the denominator of bits per byte.
  virtual std::int64_t text_bytes() const = 0;

  std::int64_t total_tokens() const { return offset(document_count()); }
};

}  // namespace drover
