// https://www.unicode.org/reports/tr15/ and, for Hangul, section 3.12 of the Unicode standard.
#include "data/unicode/nfc.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "data/unicode/unicode.h"

namespace drover {
namespace {

constexpr char32_t kSyllables = 0xAC00, kLeads = 0x1100, kVowels = 0x1161, kTails = 0x11A7;
constexpr char32_t kLeadCount = 19, kVowelCount = 21, kTailCount = 28;
constexpr char32_t kSyllableCount = kLeadCount * kVowelCount * kTailCount;

bool within(char32_t character, char32_t first, char32_t count) { return character - first < count; }

auto pair_of(const Decomposition& row) { return std::tuple(row.first, row.second); }

}  // namespace

Nfc::Nfc() {
  const auto composing = composition_table(), others = decomposition_table();
  compositions_.assign(composing.begin(), composing.end());
  decompositions_ = compositions_;
  decompositions_.insert(decompositions_.end(), others.begin(), others.end());
  std::ranges::sort(compositions_, {}, pair_of);
  std::ranges::sort(decompositions_, {}, &Decomposition::composed);
  for (const CombiningClass& row : combining_table()) mark(row.first, row.last);
  for (const Decomposition& row : others) mark(row.composed, row.composed);
  for (const Decomposition& row : composing) mark(row.second, row.second);
  mark(kVowels, kVowels + kVowelCount - 1);
  mark(kTails + 1, kTails + kTailCount - 1);
}

void Nfc::mark(char32_t first, char32_t last) {
  if (reaches_back_.size() <= last / 64) reaches_back_.resize(last / 64 + 1);
  for (char32_t at = first; at <= last; ++at) reaches_back_[at / 64] |= std::uint64_t(1) << at % 64;
}

bool Nfc::reaches_back(char32_t character) const {
  const std::size_t word = character / 64;
  return word < reaches_back_.size() && (reaches_back_[word] >> character % 64 & 1) != 0;
}

// A cluster is a character that begins anew and all after it that reach back.
bool Nfc::normalize(std::string_view text, std::string& out) const {
  std::size_t done = 0, begin = 0, length = 0;
  bool changes = false, reached = false;
  const auto end_cluster = [&](std::size_t end) {
    if (!std::exchange(reached, false)) return;
    if (!std::exchange(changes, true)) out.clear();
    out.append(text.substr(done, begin - done));
    normalize_cluster(text.substr(begin, end - begin), out);
    done = end;
  };
  for (std::size_t at = 0; at < text.size(); at += length) {
    if (static_cast<unsigned char>(text[at]) < 0xCC) {  // below U+0300
      length = static_cast<unsigned char>(text[at]) < 0x80 ? 1 : 2;
    } else if (reaches_back(decode_utf8(text.substr(at), length))) {
      reached = true;
      continue;
    }
    end_cluster(at);
    begin = at;
  }
  end_cluster(text.size());
  if (changes) out.append(text.substr(done));
  return changes;
}

void Nfc::normalize_cluster(std::string_view cluster, std::string& out) const {
  std::vector<Letter> letters;
  for (std::size_t at = 0, length = 0; at < cluster.size(); at += length)
    decompose(decode_utf8(cluster.substr(at), length), letters);
  for (auto at = letters.begin(); at != letters.end();) {
    const auto starter = std::find_if(at, letters.end(), [](const Letter& l) { return l.combining == 0; });
    std::stable_sort(at, starter, [](const Letter& a, const Letter& b) { return a.combining < b.combining; });
    at = starter == letters.end() ? starter : starter + 1;
  }
  compose(letters);
  for (const Letter& letter : letters) append_utf8(letter.character, out);
}

// Each letter joins the last starter, if they make a character and nothing between them is in the way.
void Nfc::compose(std::vector<Letter>& letters) const {
  std::size_t kept = 0, starter = letters.size();
  for (const Letter letter : letters) {
    const bool has_starter = starter < kept;
    const bool blocked = has_starter && starter + 1 < kept && letters[kept - 1].combining >= letter.combining;
    const char32_t joined =
        has_starter && !blocked ? composed(letters[starter].character, letter.character) : 0;
    if (joined != 0) {
      letters[starter].character = joined;
      continue;
    }
    if (letter.combining == 0) starter = kept;
    letters[kept++] = letter;
  }
  letters.resize(kept);
}

void Nfc::decompose(char32_t character, std::vector<Letter>& out) const {
  if (within(character, kSyllables, kSyllableCount)) {
    const char32_t index = character - kSyllables, tail = index % kTailCount;
    out.push_back({kLeads + index / (kVowelCount * kTailCount), 0});
    out.push_back({kVowels + index / kTailCount % kVowelCount, 0});
    if (tail != 0) out.push_back({kTails + tail, 0});
    return;
  }
  const auto row = std::ranges::lower_bound(decompositions_, character, {}, &Decomposition::composed);
  if (row == decompositions_.end() || row->composed != character)
    return out.push_back({character, combining(character)});
  decompose(row->first, out);
  if (row->second != 0) decompose(row->second, out);
}

char32_t Nfc::composed(char32_t first, char32_t second) const {
  if (within(first, kLeads, kLeadCount) && within(second, kVowels, kVowelCount))
    return kSyllables + ((first - kLeads) * kVowelCount + (second - kVowels)) * kTailCount;
  const bool without_tail =
      within(first, kSyllables, kSyllableCount) && (first - kSyllables) % kTailCount == 0;
  if (without_tail && within(second, kTails + 1, kTailCount - 1)) return first + (second - kTails);
  const auto row = std::ranges::lower_bound(compositions_, std::tuple(first, second), {}, pair_of);
  return row != compositions_.end() && pair_of(*row) == std::tuple(first, second) ? row->composed : 0;
}

std::uint8_t Nfc::combining(char32_t character) const {
  const auto table = combining_table();
  const auto after = std::ranges::upper_bound(table, character, {}, &CombiningClass::first);
  if (after == table.begin() || (after - 1)->last < character) return 0;
  return (after - 1)->value;
}

}  // namespace drover
