// A token store: as it is, with the digest of its config made right, and with all digests made right, so that what lies
// behind them is reached too. (Digests find accidents; who forges a store forges its digests.)
#include "data/store/token_store.h"
#include "tests/fuzz/answer.h"
#include "tests/support/recording_filesystem.h"
#include "tests/support/store_builder.h"

namespace drover {
namespace {

constexpr const char* kName = "store.h5";

void read_all(const TokenStore& store) {
  constexpr std::int64_t kMost = 1000;  // documents, and tokens
  for (std::int64_t d = 0; d < std::min(kMost, store.document_count()); ++d) {
    store.offset(d + 1);
    store.text_bytes_of(d);
  }
  std::vector<std::int32_t> ids(static_cast<std::size_t>(std::min(kMost, store.total_tokens())));
  store.read(store.total_tokens() - static_cast<std::int64_t>(ids.size()), ids);
  for (const std::int32_t id : ids)
    if (id < 0 || id >= store.vocab_size()) report_defect("an id outside of the vocabulary", cat(id));
}

void open_and_read(FileSystem& files) {
  answers(Exit::input, kName, [&] { read_all(TokenStore(files, kName)); });
  answers(Exit::input, kName, [&] { TokenStore(files, kName).verify(); });
}

std::string bytes_of_dataset(const Hdf5File& hdf5, const Hdf5Dataset& dataset) {
  std::string bytes(static_cast<std::size_t>(dataset.bytes()), '\0');
  hdf5.file().read(std::as_writable_bytes(std::span(bytes)), dataset.offset);
  return bytes;
}

void put(FileSystem& files, const Hdf5Dataset& dataset, std::string_view bytes) {
  if (dataset.bytes() != std::ssize(bytes)) throw input_error(kName, ": no room for a digest");
  files.open(kName, OpenMode::update)->write(bytes_of(bytes), dataset.offset);
}

// Whether there was something to seal.
bool seal_config(FileSystem& files) {
  return answers(Exit::input, kName, [&] {
    const Hdf5File hdf5(files, kName);
    std::string sealed;
    put_digest(digest_of(bytes_of_dataset(hdf5, hdf5.dataset(kStoreConfig, StoredType::uint8, 1))), sealed);
    put(files, hdf5.dataset(kStoreConfigDigest, StoredType::uint8, 1), sealed);
  });
}

Digest seal_dataset(FileSystem& files, const Hdf5File& hdf5, std::string_view path, StoredType type) {
  const std::string table = digest_table(bytes_of_dataset(hdf5, hdf5.dataset(path, type, 1)));
  put(files, hdf5.dataset(cat(kStoreDigests, path), StoredType::uint8, 2), table);
  return digest_of(table);
}

// As above; the config's own digest is then to be sealed.
bool seal_datasets(FileSystem& files) {
  return answers(Exit::input, kName, [&] {
    const Hdf5File hdf5(files, kName);
    const Hdf5Dataset& json = hdf5.dataset(kStoreConfig, StoredType::uint8, 1);
    StoreConfig config = store_config_from_json(bytes_of_dataset(hdf5, json), kName);
    config.tokens_digest = seal_dataset(files, hdf5, kStoreTokens, config.token_type);
    config.offsets_digest = seal_dataset(files, hdf5, kStoreOffsets, StoredType::int64);
    config.text_bytes_digest = seal_dataset(files, hdf5, kStoreTextBytes, StoredType::int64);
    put(files, json, store_config_json(config));
  });
}

}  // namespace
}  // namespace drover

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace drover;
  RecordingFileSystem files;
  files.open(kName, OpenMode::create)->write(bytes_of(text_of(data, size)), 0);
  open_and_read(files);
  if (seal_config(files)) open_and_read(files);
  if (seal_datasets(files) && seal_config(files)) open_and_read(files);
  return 0;
}
