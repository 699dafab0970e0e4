// Whether one model is better than another on the same items.
#pragma once

#include <cstdint>
#include <span>

namespace aviary {

struct PairedComparison {
  double mean = 0, low = 0, high = 0;  // of the differences, with the interval of 95 %
  double p = 1;                        // two-sided: how often chance alone gives a mean as far from 0
};

// The bootstrap over items: the items are drawn again with replacement, `resamples` times. The interval is
// between the 2.5 and 97.5 percentiles of the means; p is the share of means that are as far from the mean as
// that is from 0. Throws Error for fewer than two items.
PairedComparison paired_bootstrap(std::span<const double> differences, int64_t resamples = 10'000,
                                  uint64_t seed = 1);

// McNemar's exact test: of the items that only one of two got right, how likely so uneven a share is,
// two-sided.
double mcnemar(int64_t only_first, int64_t only_second);

}  // namespace aviary
