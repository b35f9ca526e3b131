#include "data/store/writer.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "core/base/error.h"

namespace drover {
namespace {

// What is known of a document beside its tokens, as it waits in the side file.
struct DocumentRecord {
  std::int64_t end = 0;  // in tokens, from the start of the store
  std::int64_t text_bytes = 0;
};

constexpr std::size_t kRecordsAtOnce = (256 << 10) / sizeof(DocumentRecord);

std::filesystem::path with_suffix(std::filesystem::path path, const char* suffix) { return path += suffix; }

template <class T>
std::span<const std::byte> bytes_of(const std::vector<T>& values) {
  return std::as_bytes(std::span(values));
}

// The bytes of one dataset, written extent by extent, with a digest of each.
class ExtentWriter {
 public:
  ExtentWriter(File& file, std::int64_t offset) : file_(&file), offset_(offset) { buffer_.reserve(kExtent); }

  template <class Stored, class Value>
  void add(std::span<const Value> values) {
    while (!values.empty()) {
      const std::size_t room = (kExtent - buffer_.size()) / sizeof(Stored);
      const std::span<const Value> now = values.first(std::min(room, values.size()));
      const std::size_t start = buffer_.size();
      buffer_.resize(start + now.size() * sizeof(Stored));
      auto* out = reinterpret_cast<Stored*>(buffer_.data() + start);
      std::transform(now.begin(), now.end(), out, [](Value value) { return static_cast<Stored>(value); });
      values = values.subspan(now.size());
      if (buffer_.size() == kExtent) flush();
    }
  }
  void add(std::int64_t value) { add<std::int64_t>(std::span<const std::int64_t>(&value, 1)); }

  bool wrote() const { return written_ > 0; }
  std::int64_t offset() const { return offset_; }
  void move_to(std::int64_t offset) { offset_ = offset; }  // before anything was written

  void flush() {
    if (buffer_.empty()) return;
    file_->write(buffer_, offset_ + written_);
    put_digest(digest_of(buffer_), digests_);
    written_ += static_cast<std::int64_t>(buffer_.size());
    buffer_.clear();
  }

  const std::string& digests() const { return digests_; }

 private:
  static constexpr auto kExtent = static_cast<std::size_t>(kStoreExtentBytes);

  File* file_;
  std::int64_t offset_, written_ = 0;
  std::vector<std::byte> buffer_;
  std::string digests_;
};

}  // namespace

struct StoreWriter::State {
  State(FileSystem& file_system, WriteStore write)
      : files(file_system),
        options(std::move(write)),
        partial(with_suffix(options.path, ".partial")),
        records_path(with_suffix(options.path, ".partial.documents")),
        type(token_type_for(options.vocab_size)) {}

  // Not in the constructor, so that the destructor cleans up when the second file cannot be made.
  void open() {
    refuse_leftovers();
    file = files.open(partial, OpenMode::create);
    records_file = files.open(records_path, OpenMode::create);
    tokens.emplace(*file, plan({.tokens = kStoreExtentBytes / size_of(type)}, "").datasets[0].offset);
  }

  ~State() {
    tokens.reset();
    if (file && !published) remove(file, partial);
    if (records_file) remove(records_file, records_path);
  }

  struct Sizes {
    std::int64_t documents = 0, tokens = 0;
  };

  void refuse_leftovers() const {
    refuse_existing(files, options.path, options.existing);
    for (const auto& path : {partial, records_path}) refuse_unfinished(files, path);
  }

  // The order of datasets decides offsets: tokens first, so that theirs does not depend on what follows.
  Hdf5Plan plan(Sizes sizes, std::string_view json) const {
    std::vector<Hdf5Dataset> data = {
        {.path = std::string(kStoreTokens), .type = type, .dims = {sizes.tokens}},
        {.path = std::string(kStoreOffsets), .type = StoredType::int64, .dims = {sizes.documents + 1}},
        {.path = std::string(kStoreTextBytes), .type = StoredType::int64, .dims = {sizes.documents}},
    };
    for (int i = 0; i < 3; ++i) {
      const Hdf5Dataset& covered = data[static_cast<std::size_t>(i)];
      data.push_back({.path = std::string(kStoreDigests) + covered.path,
                      .type = StoredType::uint8,
                      .dims = {store_extents(covered.bytes()), kStoreDigestBytes}});
    }
    data.push_back({.path = std::string(kStoreConfig),
                    .type = StoredType::uint8,
                    .dims = {static_cast<std::int64_t>(json.size())}});
    data.push_back(
        {.path = std::string(kStoreConfigDigest), .type = StoredType::uint8, .dims = {kStoreDigestBytes}});
    const std::vector<Hdf5Attribute> attributes = {{"format", std::string(kStoreFormat)},
                                                   {"version", kStoreVersion}};
    return plan_hdf5(std::move(data), attributes);
  }

  void add_tokens(std::span<const std::int32_t> ids) {
    type == StoredType::uint16 ? tokens->add<std::uint16_t>(ids) : tokens->add<std::uint32_t>(ids);
  }

  void add_record(DocumentRecord record) {
    records.push_back(record);
    if (records.size() == kRecordsAtOnce) flush_records();
  }
  void flush_records() {
    records_file->write(bytes_of(records), records_bytes);
    records_bytes += static_cast<std::int64_t>(bytes_of(records).size());
    records.clear();
  }

  // From the side file to the two datasets.
  void copy_records(ExtentWriter& offsets, ExtentWriter& text_bytes) {
    flush_records();
    offsets.add(0);
    for (std::int64_t at = 0; at < records_bytes;) {
      const auto left = static_cast<std::size_t>(records_bytes - at) / sizeof(DocumentRecord);
      std::vector<DocumentRecord> chunk(std::min(left, kRecordsAtOnce));
      records_file->read(std::as_writable_bytes(std::span(chunk)), at);
      for (const DocumentRecord& record : chunk) {
        offsets.add(record.end);
        text_bytes.add(record.text_bytes);
      }
      at += static_cast<std::int64_t>(chunk.size() * sizeof(DocumentRecord));
    }
    offsets.flush();
    text_bytes.flush();
  }

  void finish();

  // Best effort: this runs while another error is on its way.
  void remove(std::unique_ptr<File>& open, const std::filesystem::path& path) noexcept {
    open.reset();
    try {
      files.remove_file(path);
    } catch (const Error&) {
    }
  }

  FileSystem& files;
  WriteStore options;
  std::filesystem::path partial, records_path;
  StoredType type;
  std::unique_ptr<File> file, records_file;
  std::optional<ExtentWriter> tokens;
  std::vector<DocumentRecord> records;
  std::int64_t records_bytes = 0;
  StoreConfig config;
  bool finished = false;
  bool published = false;
};

// The plan needs the length of the config, whose digests need the data at the plan's offsets: so the data is
// written by a plan for a config of the same length.
void StoreWriter::State::finish() {
  const Sizes sizes{config.documents, config.tokens};
  Hdf5Plan layout = plan(sizes, store_config_json(config));
  if (tokens->wrote()) {
    DROVER_CHECK(layout.datasets[0].offset == tokens->offset(), layout.datasets[0].offset, " ",
                 tokens->offset());
  } else {
    tokens->move_to(layout.datasets[0].offset);
  }
  tokens->flush();
  ExtentWriter offsets(*file, layout.datasets[1].offset), text_bytes(*file, layout.datasets[2].offset);
  copy_records(offsets, text_bytes);

  config.tokens_digest = digest_of(tokens->digests());
  config.offsets_digest = digest_of(offsets.digests());
  config.text_bytes_digest = digest_of(text_bytes.digests());
  const std::string json = store_config_json(config);
  DROVER_CHECK(static_cast<std::int64_t>(json.size()) == layout.datasets[6].bytes(), json.size());
  std::string json_digest;
  put_digest(digest_of(json), json_digest);
  write_metadata(*file, layout);
  const std::array<std::string_view, 5> tables = {tokens->digests(), offsets.digests(), text_bytes.digests(),
                                                  json, json_digest};
  for (std::size_t i = 0; i < tables.size(); ++i) {
    file->write(std::as_bytes(std::span(tables[i])), layout.datasets[3 + i].offset);
  }
  file->sync();
  remove(records_file, records_path);
}

void refuse_existing(FileSystem& files, const std::filesystem::path& path, Existing existing) {
  if (existing == Existing::refuse && files.exists(path))
    throw usage_error(path.string(), ": exists; name another, or replace it with --replace");
}

void refuse_unfinished(FileSystem& files, const std::filesystem::path& partial) {
  if (!files.exists(partial)) return;
  throw usage_error(
      partial.string(),
      ": exists; another `data prepare` is writing it, or one was killed: if none runs, remove it");
}

StoreWriter::StoreWriter(FileSystem& files, WriteStore options) {
  DROVER_CHECK(options.vocab_size > 0, options.vocab_size);
  state_ = std::make_unique<State>(files, std::move(options));
  state_->open();
  StoreConfig& config = state_->config;
  config.token_type = state_->type;
  config.vocab_size = state_->options.vocab_size;
  config.tokenizer_digest = state_->options.tokenizer_digest;
  config.bos = state_->options.bos;
  config.eos = state_->options.eos;
  config.part = state_->options.part;
  config.holdout_fraction = state_->options.holdout_fraction;
}
StoreWriter::~StoreWriter() = default;

void StoreWriter::add(std::span<const std::int32_t> ids, std::int64_t text_bytes) {
  DROVER_CHECK(!state_->finished && !ids.empty() && text_bytes >= 0, ids.size(), " ids, ", text_bytes,
               " bytes");
  for (const std::int32_t id : ids) {
    DROVER_CHECK(id >= 0 && id < state_->config.vocab_size, id, " of ", state_->config.vocab_size);
  }
  state_->add_tokens(ids);
  state_->config.documents += 1;
  state_->config.tokens += static_cast<std::int64_t>(ids.size());
  state_->config.text_bytes += text_bytes;
  state_->add_record({state_->config.tokens, text_bytes});
}

std::int64_t StoreWriter::documents() const { return state_->config.documents; }
std::int64_t StoreWriter::tokens() const { return state_->config.tokens; }

const StoreConfig& StoreWriter::finish() {
  DROVER_CHECK(!state_->finished, "finish() is called once");
  state_->finished = true;
  state_->finish();
  return state_->config;
}

void StoreWriter::publish() {
  DROVER_CHECK(state_->finished && !state_->published, "publish() follows finish(), once");
  state_->files.rename(state_->partial, state_->options.path);
  state_->published = true;
  state_->files.sync_directory(folder_of(state_->options.path));
}

}  // namespace drover
