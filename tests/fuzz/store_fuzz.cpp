// A token store: as it is, and once more with the digest of its config made right, so that what lies behind the digest
// is reached too. (Digests find accidents; who forges a store forges its digests.)
#include "data/token_store.h"
#include "tests/fuzz/answer.h"
#include "tests/support/recording_filesystem.h"

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

// Whether there was something to seal.
bool seal_config(FileSystem& files) {
  return answers(Exit::input, kName, [&] {
    const Hdf5File hdf5(files, kName);
    const Hdf5Dataset& json = hdf5.dataset(kStoreConfig, StoredType::uint8, 1);
    const Hdf5Dataset& digest = hdf5.dataset(kStoreConfigDigest, StoredType::uint8, 1);
    if (digest.bytes() != kStoreDigestBytes) throw input_error(kName, ": no room for a digest");
    std::string text(static_cast<std::size_t>(json.bytes()), '\0'), sealed;
    hdf5.file().read(std::as_writable_bytes(std::span(text)), json.offset);
    put_digest(digest_of(text), sealed);
    files.open(kName, OpenMode::update)->write(bytes_of(sealed), digest.offset);
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
  return 0;
}
