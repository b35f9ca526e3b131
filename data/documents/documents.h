// Documents from files: text files, folders, .jsonl, .json, Megatron .bin/.idx, plain or compressed, and
// standard input.
//
// Reading is split in two so that the expensive half can run on many threads: DocumentReader cuts inputs into
// raw documents, in an order that depends on names alone, and take_text turns one into its text.
//
// Rules (docs/token_store.md says them to users):
//   - a text file is one document; a line of a .jsonl or .ndjson and an element of a .json is one document;
//   - a folder is walked to its end in bytewise order of paths; names that start with a dot and symbolic
//     links in it are passed over and counted; a symbolic link that the user names is followed;
//   - a UTF-8 byte order mark at the start of a file is dropped and counted; all else in a text is kept,
//     CR LF, NUL and bytes that are no UTF-8 included; JSON must be UTF-8;
//   - nothing is larger in memory than one document and the buffers of a stream.
//
// Errors: Error{input} names file and line and says what to do.
// Thread rules: a DocumentReader belongs to one thread; take_text is a pure function.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace drover {

enum class DocumentForm : std::uint8_t {
  by_name,   // .jsonl, .ndjson, .json, else text; standard input is jsonl. A suffix .gz or .zst is looked
             // through
  text,      // one document
  jsonl,     // one JSON object, or string, a line; blank lines are passed over
  json,      // an array of them, or one after another
  megatron,  // NAME.idx beside NAME.bin: documents of token ids
};
// "auto", "text", "jsonl", "json", "megatron"; Error{usage} lists them.
DocumentForm document_form_named(std::string_view name);

enum class BadInput : std::uint8_t { refuse, skip };

// Called before each read, and ten times a second while a pipe has nothing to read; what it throws ends the
// reading. May be empty.
using CheckStop = std::function<void()>;

struct ReadDocuments {
  std::vector<std::string> inputs;                          // files, folders, "-" for standard input (once)
  DocumentForm form = DocumentForm::by_name;                // of all inputs
  std::string text_key = "text";                            // where a JSON object has its text
  BadInput bad = BadInput::refuse;                          // JSON without a text, documents above the bound
  std::int64_t max_document_bytes = std::int64_t{1} << 30;  // as it stands in the file
  CheckStop check_stop;                                     // by the thread that reads
};

struct InputFile {
  std::string path;                        // "-": standard input
  DocumentForm form = DocumentForm::text;  // never by_name
  std::int64_t bytes = 0;                  // on disk; 0 where that cannot be known
};

struct InputList {
  std::vector<InputFile> files;  // in reading order
  std::int64_t hidden = 0, links = 0,
               special = 0;  // passed over in folders; special: pipes, devices, sockets
  std::string first_link;
  bool sized = true;  // every `bytes` is known
};
// Error{input} if an input does not exist, a folder cannot be read, or nothing is left to read.
InputList list_inputs(const ReadDocuments& options);

// A document as it was cut from its file.
struct RawDocument {
  DocumentForm form = DocumentForm::text;
  std::string bytes;        // the text, the JSON value, or the ids (int32, native order)
  std::size_t input = 0;    // index into InputList::files
  std::int64_t number = 0;  // 1-based line of a .jsonl, value of a .json, document of a .idx
};

class DocumentReader {
 public:
  explicit DocumentReader(ReadDocuments options);
  ~DocumentReader();

  // The next document, in order; false at the end. `out` is overwritten, its memory reused.
  bool next(RawDocument& out);

  const ReadDocuments& options() const { return options_; }
  const InputList& inputs() const { return inputs_; }
  std::int64_t bytes_read() const;   // of files' bytes, before decompression
  std::int64_t bytes_total() const;  // 0 where inputs().sized is false
  std::int64_t byte_order_marks() const { return byte_order_marks_; }
  std::int64_t too_long() const { return too_long_; }  // passed over, BadInput::skip

  // "books.jsonl:12", for messages.
  std::string place(const RawDocument& document) const;

 private:
  struct Input;
  bool read_from(Input& input, RawDocument& out);
  bool accept_length(bool too_long, const RawDocument& document);
  void open_input();

  ReadDocuments options_;
  InputList inputs_;
  std::size_t next_input_ = 0;
  std::unique_ptr<Input> input_;  // the open one
  std::int64_t bytes_of_closed_ = 0;
  std::int64_t byte_order_marks_ = 0;
  std::int64_t too_long_ = 0;
};

// Moves or extracts the text of a raw document of any form but megatron; otherwise says what is wrong, in
// words that follow its place.
std::optional<std::string> take_text(RawDocument& document, std::string_view text_key, std::string& text);

}  // namespace drover
