// Comparisons of numbers that keep NaN: every comparison with a NaN is false, so std::max, `<` and `<=` would
// lose it.
#pragma once

#include <vector>

namespace aviary {

// The larger of two numbers; NaN if either is.
double larger(double a, double b);

// The largest absolute difference of two equally long lists of numbers. NaN if any difference is NaN,
// infinite if the lengths differ.
double largest_difference(const std::vector<double>& a, const std::vector<double>& b);

}  // namespace aviary
