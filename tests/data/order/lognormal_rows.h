// Rows as a feed cuts them from documents of log-normal lengths: median 400 tokens, sigma 1.5, clipped at the
// row's length. Long-tailed as text is: half of all attended pairs are of few documents.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "data/batch/segments.h"

namespace drover {

class LognormalRows {
 public:
  LognormalRows(std::int64_t length, unsigned seed) : length_(length), random_(seed) {}

  // The next row's documents.
  std::vector<Piece> next() {
    std::vector<Piece> documents;
    for (std::int64_t left = length_; left > 0; left -= documents.back().length) {
      if (document_left_ == 0) document_left_ = document();
      const std::int64_t piece = std::min(left, document_left_);
      document_left_ -= piece;
      documents.push_back({0, piece, document_left_ == 0});
    }
    return documents;
  }
  // Attended pairs of the next rows.
  std::vector<std::int64_t> pairs(int rows) {
    std::vector<std::int64_t> pairs(rows, 0);
    for (std::int64_t& row : pairs) row = attended_pairs(next());
    return pairs;
  }

 private:
  std::int64_t document() {
    const double drawn = std::round(400 * std::exp(1.5 * normal_(random_)));
    return static_cast<std::int64_t>(std::clamp(drawn, 1.0, static_cast<double>(length_)));
  }

  std::int64_t length_;
  std::mt19937_64 random_;
  std::normal_distribution<double> normal_;
  std::int64_t document_left_ = 0;
};

inline double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + values.size() / 2, values.end());
  return values[values.size() / 2];
}

}  // namespace drover
