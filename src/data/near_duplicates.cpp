#include "data/near_duplicates.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>

#include "base/threads.h"

namespace aviary {
namespace {

constexpr uint64_t factor = 0x9fb21c651e98df25;  // odd
constexpr uint32_t none = std::numeric_limits<uint32_t>::max();
constexpr int hashes = NearKey::bands * NearKey::rows;

uint64_t mixed(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

// A pseudo-random bin.
size_t other_bin(size_t bin, size_t attempt) {
  constexpr size_t stored = 32;
  static const std::vector<uint8_t> table = [] {
    std::vector<uint8_t> result;
    for (uint64_t i = 0; i < hashes * stored; ++i)
      result.push_back(static_cast<uint8_t>((mixed(i) >> 32) * hashes >> 32));
    return result;
  }();
  if (attempt < stored) return table[bin * stored + attempt];
  return static_cast<size_t>((mixed(bin << 32 | attempt) >> 32) * hashes >> 32);
}

uint32_t root_of(std::vector<uint32_t>& parents, uint32_t at) {
  while (parents[at] != at) at = parents[at] = parents[parents[at]];
  return at;
}

}  // namespace

std::array<uint32_t, hashes> MinHash::filled() {
  std::array<uint32_t, hashes> result;
  result.fill(none);
  return result;
}

double NearKey::similarity(const NearKey& other) const {
  if (empty || other.empty) return 0;
  int equal = 0;
  for (int i = 0; i < hashes; ++i)
    equal += low_bits[static_cast<size_t>(i)] == other.low_bits[static_cast<size_t>(i)];
  // One in 256 of different hashes has equal low bits.
  const double share = static_cast<double>(equal) / hashes;
  return std::max(0.0, (share - 1.0 / 256) / (1 - 1.0 / 256));
}

void MinHash::add_shingle(uint64_t hash) {
  const uint64_t z = mixed(hash);
  const auto bin = static_cast<size_t>((z >> 32) * hashes >> 32);
  smallest_[bin] = std::min(smallest_[bin], static_cast<uint32_t>(z));
}

void MinHash::add_word(uint64_t word) {
  ++count_;
  if (shingle_.add(word)) add_shingle(shingle_.hash());
}

void MinHash::merge(const MinHash& other) {
  for (size_t i = 0; i < smallest_.size(); ++i) smallest_[i] = std::min(smallest_[i], other.smallest_[i]);
  if (other.shingle_.words() > 0 && other.shingle_.words() < 5) add_shingle(other.shingle_.hash());
  count_ += other.count_;
}

NearKey MinHash::finish() {
  NearKey key;
  if (count_ == 0) return key;
  if (shingle_.words() > 0 && count_ < 5) add_shingle(shingle_.hash());
  key.empty = false;
  // An empty bin takes over a bin that has a hash; which one, is the same for all texts with the same such
  // bins.
  std::array<uint32_t, hashes> dense = smallest_;
  for (size_t bin = 0; bin < dense.size(); ++bin)
    for (size_t attempt = 0; dense[bin] == none; ++attempt) dense[bin] = smallest_[other_bin(bin, attempt)];
  for (size_t band = 0; band < key.band.size(); ++band) {
    uint64_t hash = band;
    for (size_t row = 0; row < NearKey::rows; ++row) {
      hash = (hash ^ dense[band * NearKey::rows + row]) * factor;
      hash ^= hash >> 29;
    }
    key.band[band] = mixed(hash);
  }
  for (size_t i = 0; i < dense.size(); ++i) key.low_bits[i] = static_cast<uint8_t>(dense[i]);
  return key;
}

namespace {

// Pairs of an equal band that are similar, the later one first.
std::vector<std::pair<uint32_t, uint32_t>> pairs_of(const std::vector<NearKey>& keys, size_t band,
                                                    double least) {
  constexpr size_t compared = 16;  // documents of an equal band before each
  std::vector<std::pair<uint64_t, uint32_t>> order;
  for (uint32_t i = 0; i < keys.size(); ++i)
    if (!keys[i].empty) order.emplace_back(keys[i].band[band], i);
  std::sort(order.begin(), order.end());
  std::vector<std::pair<uint32_t, uint32_t>> pairs;
  for (size_t i = 1; i < order.size(); ++i)
    for (size_t j = i; j-- > 0 && i - j <= compared && order[j].first == order[i].first;)
      if (keys[order[i].second].similarity(keys[order[j].second]) >= least) {
        pairs.emplace_back(order[i].second, order[j].second);
        break;
      }
  return pairs;
}

}  // namespace

std::vector<uint32_t> near_groups(const std::vector<NearKey>& keys, double least) {
  std::vector<std::vector<std::pair<uint32_t, uint32_t>>> found(NearKey::bands);
  parallel_for(NearKey::bands, 1, [&](int64_t first, int64_t last) {
    for (auto band = static_cast<size_t>(first); band < static_cast<size_t>(last); ++band)
      found[band] = pairs_of(keys, band, least);
  });
  std::vector<uint32_t> parents(keys.size());
  std::iota(parents.begin(), parents.end(), 0u);
  for (const auto& pairs : found)
    for (const auto& [later, earlier] : pairs) {
      const uint32_t a = root_of(parents, later), b = root_of(parents, earlier);
      parents[std::max(a, b)] = std::min(a, b);
    }
  for (uint32_t i = 0; i < keys.size(); ++i) parents[i] = root_of(parents, i);
  return parents;
}

}  // namespace aviary
