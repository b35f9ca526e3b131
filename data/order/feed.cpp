#include "data/order/feed.h"

#include <algorithm>

#include "core/base/error.h"

namespace drover {
namespace {

std::uint64_t feed_key(std::uint64_t seed, const TokenSource& source) {
  return mix_key(mix_key(seed, std::string_view("feed")), source.name());
}

// The last i with starts[i] <= value: starts ascend from 0, and empty documents share their successor's
// start.
std::int64_t interval_of(const std::vector<std::int64_t>& starts, std::int64_t value) {
  return std::upper_bound(starts.begin(), starts.end(), value) - starts.begin() - 1;
}

}  // namespace

Feed::Feed(const TokenSource& source, const FeedOptions& options)
    : source_(source), key_(feed_key(options.seed, source)), epoch_tokens_(source.total_tokens()) {
  DROVER_CHECK(options.region_tokens > 0 && options.region_documents > 0, "regions must be able to grow");
  if (epoch_tokens_ <= 0) throw input_error(source.where(), " has no tokens; prepare it from text");
  cut_regions(options);
  std::int64_t most_documents = 0;
  for (const Region& region : regions_) most_documents = std::max(most_documents, region.documents);
  for (Epoch& epoch : epochs_) epoch.starts.reserve(regions_.size() + 1);
  for (Index& index : indexes_) index.starts.reserve(most_documents + 1);
}

void Feed::cut_regions(const FeedOptions& options) {
  for (std::int64_t first = 0, end = 0; first < source_.document_count(); first = end) {
    end = region_end(first, options);
    const std::int64_t tokens = source_.offset(end) - source_.offset(first);
    if (tokens > 0) regions_.push_back({.first_document = first, .documents = end - first, .tokens = tokens});
  }
}

std::int64_t Feed::region_end(std::int64_t first_document, const FeedOptions& options) const {
  const std::int64_t wanted = source_.offset(first_document) + options.region_tokens;
  std::int64_t low = first_document + 1;
  std::int64_t high = std::min(source_.document_count(), first_document + options.region_documents);
  while (low < high) {
    const std::int64_t middle = low + (high - low) / 2;
    if (source_.offset(middle) >= wanted) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return high;
}

const Feed::Epoch& Feed::epoch(std::int64_t number) {
  for (int i = 0; i < 2; ++i) {
    if (epochs_[i].number != number) continue;
    older_epoch_ = 1 - i;
    return epochs_[i];
  }
  Epoch& epoch = epochs_[older_epoch_];
  older_epoch_ = 1 - older_epoch_;
  const std::uint64_t key = mix_key(mix_key(key_, static_cast<std::uint64_t>(number)), "regions");
  epoch.number = number;
  epoch.order = Permutation(static_cast<std::int64_t>(regions_.size()), key);
  epoch.starts.assign(1, 0);
  for (std::int64_t i = 0; i < epoch.order.size(); ++i) {
    epoch.starts.push_back(epoch.starts.back() + regions_[epoch.order(i)].tokens);
  }
  return epoch;
}

void Feed::build(Index& index, const Epoch& epoch, std::int64_t ordinal) const {
  const std::int64_t number = epoch.order(ordinal);
  const Region& region = regions_[number];
  const std::uint64_t key = mix_key(mix_key(key_, static_cast<std::uint64_t>(epoch.number)), "documents");
  index.begin = epoch.number * epoch_tokens_ + epoch.starts[ordinal];
  index.first_document = region.first_document;
  index.order = Permutation(region.documents, mix_key(key, static_cast<std::uint64_t>(number)));
  index.starts.assign(1, 0);
  for (std::int64_t i = 0; i < region.documents; ++i) {
    const std::int64_t document = region.first_document + index.order(i);
    const std::int64_t length = source_.offset(document + 1) - source_.offset(document);
    if (length < 0)
      throw input_error(source_.where(), ": document ", document, " has ", length,
                        " tokens; prepare the store again");
    index.starts.push_back(index.starts.back() + length);
  }
}

const Feed::Index& Feed::index_at(std::int64_t position) {
  for (int i = 0; i < 2; ++i) {
    const Index& index = indexes_[i];
    if (index.starts.empty() || position < index.begin || position >= index.begin + index.starts.back())
      continue;
    older_index_ = 1 - i;
    return index;
  }
  Index& index = indexes_[older_index_];
  older_index_ = 1 - older_index_;
  index.starts.clear();  // not an answer to anything if build throws
  const Epoch& current = epoch(position / epoch_tokens_);
  build(index, current, interval_of(current.starts, position % epoch_tokens_));
  return index;
}

void Feed::append_pieces(std::int64_t position, std::int64_t count, std::vector<Piece>& pieces) {
  DROVER_CHECK(position >= 0, "feed position ", position);
  while (count > 0) {
    const Index& index = index_at(position);
    std::int64_t within = position - index.begin;
    const std::int64_t available = std::min(count, index.starts.back() - within);
    position += available;
    count -= available;
    const std::int64_t end = within + available;
    for (std::int64_t i = interval_of(index.starts, within); within < end; ++i) {
      const std::int64_t document_end = index.starts[i + 1];
      if (document_end == within) continue;
      const std::int64_t piece_end = std::min(document_end, end);
      const std::int64_t source_begin =
          source_.offset(index.first_document + index.order(i)) + within - index.starts[i];
      pieces.push_back({source_begin, piece_end - within, piece_end == document_end});
      within = piece_end;
    }
  }
}

}  // namespace drover
