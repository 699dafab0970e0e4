#include "ranks/ranks.h"

#include <algorithm>

#include "base/error.h"

namespace aviary {
namespace {

class Alone : public Ranks {
 public:
  int64_t rank() const override { return 0; }
  int64_t count() const override { return 1; }
  std::string host_of(int64_t) const override { return "this machine"; }
  void exchange(int64_t, std::span<const std::byte>, std::span<std::byte>) override {
    fail("ranks: a single process has nobody to exchange with");
  }
  double seconds_exchanging() const override { return 0; }
  void leave(bool) override {}
};

constexpr std::span<const std::byte> nothing_to_send{};
constexpr std::span<std::byte> nothing_to_receive{};

template <typename Number>
std::span<std::byte> bytes_of(Number& number) {
  return std::as_writable_bytes(std::span(&number, 1));
}

std::span<std::byte> bytes_of(std::string& text) { return std::as_writable_bytes(std::span(text)); }

}  // namespace

Ranks& alone() {
  static Alone one;
  return one;
}

std::string Ranks::name_of(int64_t rank) const { return fmt::format("rank {} on {}", rank, host_of(rank)); }

// Ranks below `distance` have the bytes already.
void Ranks::broadcast(std::span<std::byte> bytes) {
  for (int64_t distance = 1; distance < count(); distance *= 2) {
    if (rank() < distance)
      exchange(rank() + distance, bytes, nothing_to_receive);
    else if (rank() < 2 * distance)
      exchange(rank() - distance, nothing_to_send, bytes);
  }
}

int64_t Ranks::broadcast(int64_t number) {
  broadcast(bytes_of(number));
  return number;
}

std::string Ranks::broadcast(std::string text) {
  text.resize(static_cast<size_t>(broadcast(std::ssize(text))));
  broadcast(bytes_of(text));
  return text;
}

std::vector<std::string> Ranks::gather(const std::string& text) {
  std::string own = text;
  int64_t size = std::ssize(own);
  if (!speaks()) {
    exchange(0, bytes_of(size), nothing_to_receive);
    exchange(0, bytes_of(own), nothing_to_receive);
    return {};
  }
  std::vector<std::string> all{own};
  for (int64_t from = 1; from < count(); ++from) {
    exchange(from, nothing_to_send, bytes_of(size));
    all.emplace_back(static_cast<size_t>(size), '\0');
    exchange(from, nothing_to_send, bytes_of(all.back()));
  }
  return all;
}

void Ranks::add_up(std::span<double> numbers) {
  std::vector<double> others(numbers.size());
  for (int64_t distance = 1; distance < count(); distance *= 2) {
    exchange(rank() ^ distance, std::as_bytes(numbers), std::as_writable_bytes(std::span(others)));
    for (size_t i = 0; i < numbers.size(); ++i) numbers[i] += others[i];
  }
}

Shards::Shards(Ranks& ranks, std::vector<int64_t> bounds) : ranks_(ranks), bounds_(std::move(bounds)) {
  require(std::ssize(bounds_) == ranks_.count() + 1, "ranks: {} bounds for {} shards", bounds_.size(),
          ranks_.count());
}

int64_t Shards::shard_of(int64_t rank, int64_t count) {
  int64_t shard = 0;
  for (int64_t bit = 1; bit < count; bit *= 2) shard = 2 * shard + ((rank & bit) != 0 ? 1 : 0);
  return shard;
}

Range Shards::shards_kept(int64_t rank, int64_t distance) const {
  const int64_t size = ranks_.count() / distance, shard = shard_of(rank, ranks_.count());
  return {shard / size * size, shard / size * size + size};
}

Range Shards::numbers_of(Range shards) const {
  return {bounds_[static_cast<size_t>(shards.begin)], bounds_[static_cast<size_t>(shards.end)]};
}

Range Shards::of_rank(int64_t rank) const { return numbers_of(shards_kept(rank, ranks_.count())); }

int64_t Shards::owner_of(int64_t place) const {
  const auto above = std::upper_bound(bounds_.begin(), bounds_.end() - 1, place);
  return shard_of(above - bounds_.begin() - 1, ranks_.count());
}

void Shards::reduce(const ExchangeAndAdd& exchange_and_add) const {
  for (int64_t distance = 1; distance < ranks_.count(); distance *= 2) {
    const int64_t partner = ranks_.rank() ^ distance;
    exchange_and_add(partner, numbers_of(shards_kept(partner, 2 * distance)),
                     numbers_of(shards_kept(ranks_.rank(), 2 * distance)));
  }
}

void Shards::collect(std::span<std::byte> array, int64_t size) const {
  auto part = [&](int64_t rank, int64_t distance) {
    const Range numbers = numbers_of(shards_kept(rank, distance));
    return array.subspan(static_cast<size_t>(numbers.begin * size),
                         static_cast<size_t>(numbers.count() * size));
  };
  for (int64_t distance = ranks_.count() / 2; distance >= 1; distance /= 2) {
    const int64_t partner = ranks_.rank() ^ distance;
    ranks_.exchange(partner, part(ranks_.rank(), 2 * distance), part(partner, 2 * distance));
  }
}

}  // namespace aviary
