// A batch of documents on its way through `prepare`: read, encoded by one thread, written. Internal to
// prepare.
#pragma once

#include <exception>
#include <optional>
#include <string>
#include <vector>

#include "data/prepare/prepare.h"

namespace drover {

struct EncodedDocument {
  std::int64_t ids_end = 0;  // in DocumentBatch::ids
  std::int64_t text_bytes = 0;
  bool held_out = false;
};

struct DocumentBatch {
  std::vector<RawDocument> raw;   // emptied by encoding
  std::vector<std::int32_t> ids;  // of all documents, one after another
  std::vector<EncodedDocument> documents;
  std::string holdout_text;  // of the held-out documents, one after another
  TextFindings findings;
  std::exception_ptr error;  // of the first document that cannot be; the rest isn't encoded
};

// Encodes batches; each thread has its own. A batch's result depends on the batch alone.
class BatchEncoder {
 public:
  // All three outlive this.
  BatchEncoder(const Tokenizer& tokenizer, const PrepareOptions& options, const DocumentReader& reader);

  void encode(DocumentBatch& batch);  // throws nothing: see DocumentBatch::error

 private:
  void encode_document(RawDocument& raw, DocumentBatch& batch);
  std::optional<std::string> append_text_ids(const RawDocument& raw, DocumentBatch& batch);  // of text_
  std::optional<std::string> append_stored_ids(const RawDocument& raw, DocumentBatch& batch);
  void add_document(std::int64_t ids_begin, DocumentBatch& batch);

  const Tokenizer& tokenizer_;
  const PrepareOptions& options_;
  const DocumentReader& reader_;
  Encoder encoder_;
  std::optional<std::int32_t> bos_, eos_;
  std::string text_;  // of the document at hand
};

}  // namespace drover
