// The logits of a checkpoint's model for one document, for tests/interop/hugging_face_test.py:
//
//   logits_tool CONFIG CHECKPOINT TOKENS OUT      TOKENS: int32, at most train.sequence_length; OUT: float32 [N, V]
#include <fstream>
#include <iostream>

#include "data/batch/batch_buffer.h"
#include "launch/run/inference.h"
#include "tests/support/file_bytes.h"

namespace drover::testing {
namespace {

class Document final : public TokenSource {
 public:
  explicit Document(const std::string& bytes) : tokens_(bytes.size() / sizeof(std::int32_t)) {
    bytes.copy(reinterpret_cast<char*>(tokens_.data()), bytes.size());
  }

  std::int64_t size() const { return std::ssize(tokens_); }
  const std::string& name() const override { return name_; }
  std::int64_t document_count() const override { return 1; }
  std::int64_t offset(std::int64_t document) const override { return document * size(); }
  void read(std::int64_t begin, std::span<std::int32_t> out) const override {
    std::copy_n(tokens_.begin() + begin, out.size(), out.begin());
  }
  std::int64_t vocab_size() const override { return *std::max_element(tokens_.begin(), tokens_.end()) + 1; }
  const std::string& tokenizer_digest() const override { return name_; }
  std::int64_t text_bytes() const override { return 0; }

 private:
  std::vector<std::int32_t> tokens_;
  std::string name_ = "document";
};

Exit write_logits(Process& process, char** arguments) {
  PosixFileSystem files;
  InferenceRequest request;
  request.config.path = arguments[1];
  request.checkpoint = arguments[2];
  Inference model(process, files, request);
  const Document document(read_bytes(arguments[3]));
  const std::int64_t tokens = document.size();
  BatchBuffer buffer(model.platform().host, tokens, tokens);
  const Piece whole{.source_begin = 0, .length = tokens, .ends_document = true};
  buffer.append_row(document, {&whole, 1}, tokens);
  std::vector<float> logits(static_cast<std::size_t>(tokens * model.config().model.vocab_size));
  model.training().model.stages.front()->logits(
      model.trainer().exec(), buffer.finish_microbatch(), 0,
      Tensor::of(logits.data(), {tokens, model.config().model.vocab_size}));
  const auto bytes = std::as_bytes(std::span(logits));
  write_bytes(arguments[4], {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  return Exit::done;
}

}  // namespace
}  // namespace drover::testing

int main(int argc, char** argv) {
  using namespace drover;
  if (argc != 5) return static_cast<int>(Exit::usage);
  Process process;
  return static_cast<int>(run_as_ranks(process, [&] { return testing::write_logits(process, argv); }));
}
