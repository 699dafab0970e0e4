#include "data/window_order.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/random.h"

namespace aviary {

WindowOrder::WindowOrder(const std::vector<Text>& texts, int64_t context, uint64_t seed, Kind kind)
    : seed_(seed) {
  require(!texts.empty(), "batches: there is no text");
  for (size_t i = 0; i < texts.size(); ++i) {
    const auto [tokens, weight] = texts[i];
    require(weight > 0, "batches: the weight of a text is {}, expected more than 0", weight);
    // The only text, or the first one, is read as it is alone.
    const uint64_t own = i == 0 ? seed : Random(seed).split(i).seed();
    Part part{.shuffled = BatchSampler(tokens, context, 1, own)};
    int64_t windows = part.shuffled.windows_per_epoch();
    if (kind == Kind::cubic) windows = part.cubic.emplace(tokens, context).prime();
    part.count = std::max<int64_t>(1, std::llround(weight * static_cast<double>(windows)));
    epoch_ += part.count;
    parts_.push_back(part);
  }
}

Window WindowOrder::window(int64_t sample) const {
  size_t text = 0;
  if (parts_.size() > 1) {
    const int64_t epoch = sample / epoch_;
    const uint64_t key = Random(seed_).split(static_cast<uint64_t>(epoch)).split(parts_.size()).next();
    int64_t place = permuted(sample % epoch_, epoch_, key);
    while (place >= parts_[text].count) place -= parts_[text++].count;
    sample = epoch * parts_[text].count + place;  // of this text
  }
  const Part& part = parts_[text];
  return {text, part.cubic ? part.cubic->start(sample) : part.shuffled.start(sample)};
}

}  // namespace aviary
