#include "data/store/inspect.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <iomanip>
#include <sstream>
#include <vector>

#include "core/base/error.h"
#include "core/base/printable.h"
#include "data/store/token_store.h"

namespace drover {
namespace {

constexpr std::int64_t kMostSampled = 1'000'000;
constexpr std::int64_t kFirstTokens = 48;
constexpr int kBarWidth = 40;

// Bucket i counts documents of [2^(i-1), 2^i) tokens, bucket 0 empty ones.
struct Lengths {
  std::array<std::int64_t, 64> documents{};
  std::int64_t sampled = 0, shortest = 0, longest = 0;
};

// The i-th of `sampled` documents, evenly spaced over all: i x documents / sampled without its overflow.
std::int64_t sampled_document(std::int64_t i, std::int64_t sampled, std::int64_t documents) {
  return i * (documents / sampled) + i * (documents % sampled) / sampled;
}

Lengths lengths_of(const TokenStore& store) {
  Lengths lengths;
  const std::int64_t documents = store.document_count();
  lengths.sampled = std::min(documents, kMostSampled);
  for (std::int64_t i = 0; i < lengths.sampled; ++i) {
    const std::int64_t document = sampled_document(i, lengths.sampled, documents);
    const std::int64_t length = store.offset(document + 1) - store.offset(document);
    if (length < 0)
      throw input_error(store.path(), ": document ", document, " ends before it starts; restore the file");
    lengths.shortest = i == 0 ? length : std::min(lengths.shortest, length);
    lengths.longest = std::max(lengths.longest, length);
    ++lengths.documents[static_cast<std::size_t>(std::bit_width(static_cast<std::uint64_t>(length)))];
  }
  return lengths;
}

void print_lengths(const Lengths& lengths, std::int64_t documents, std::ostream& out) {
  out << "\ntokens a document";
  if (lengths.sampled < documents) out << " (" << lengths.sampled << " documents, evenly spaced)";
  out << ": shortest " << lengths.shortest << ", longest " << lengths.longest << '\n';
  const std::int64_t most = *std::max_element(lengths.documents.begin(), lengths.documents.end());
  for (std::size_t bucket = 0; bucket < lengths.documents.size(); ++bucket) {
    const std::int64_t count = lengths.documents[bucket];
    if (count == 0) continue;
    const auto width = static_cast<std::size_t>(
        std::llround(static_cast<double>(count * kBarWidth) / static_cast<double>(most)));
    out << "  below " << std::setw(12) << (std::uint64_t{1} << bucket) << "  " << std::setw(10) << count
        << "  " << std::string(std::max<std::size_t>(width, 1), '#') << '\n';
  }
}

void print_first_tokens(const TokenStore& store, const Tokenizer& tokenizer, std::ostream& out) {
  if (tokenizer.digest() != store.tokenizer_digest()) {
    throw input_error(store.path(), ": was made with tokenizer ", store.tokenizer_digest(), ", not with ",
                      tokenizer.digest(), "; name that one");
  }
  std::vector<std::int32_t> ids(static_cast<std::size_t>(std::min(store.total_tokens(), kFirstTokens)));
  store.read(0, ids);
  out << "\nfirst " << ids.size() << " tokens:";
  for (const std::int32_t id : ids) out << ' ' << id;
  out << '\n' << printable_lines(tokenizer.decode(ids), ' ') << '\n';
}

std::string id_text(const std::optional<std::int32_t>& id) { return id ? std::to_string(*id) : "none"; }

void print_summary(const TokenStore& store, std::ostream& out) {
  const StoreConfig& config = store.config();
  out << store.path() << '\n'
      << "  name              " << store.name() << '\n'
      << "  part              " << name_of(config.part);
  if (config.part != StorePart::all) out << " (held out: " << config.holdout_fraction << " of documents)";
  out << "\n  documents         " << config.documents << "\n  tokens            " << config.tokens << " ("
      << name_of(config.token_type) << ")\n  bytes of text     " << config.text_bytes;
  if (config.tokens > 0) {
    out << " (" << std::setprecision(3)
        << static_cast<double>(config.text_bytes) / static_cast<double>(config.tokens) << " a token)";
  }
  out << "\n  vocabulary        " << config.vocab_size << "\n  tokenizer         " << config.tokenizer_digest
      << "\n  bos, eos          " << id_text(config.bos) << ", " << id_text(config.eos) << '\n';
}

}  // namespace

std::string inspect_store(FileSystem& files, const InspectStore& options) {
  const TokenStore store(files, options.path);
  std::ostringstream out;
  if (options.verify) store.verify();
  print_summary(store, out);
  if (options.verify) out << "  verified          every digest, offset and id\n";
  if (store.document_count() > 0) print_lengths(lengths_of(store), store.document_count(), out);
  if (options.tokenizer != nullptr) print_first_tokens(store, *options.tokenizer, out);
  return out.str();
}

}  // namespace drover
