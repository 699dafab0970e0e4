// Comparing numbers so that no NaN is lost: every comparison with a NaN is false, so std::max, `<` and `<=`
// drop it.
#pragma once

#include <vector>

namespace aviary {

// The larger of two numbers; NaN when either is.
double larger(double a, double b);

// The largest absolute difference of two equally long lists of numbers. NaN when any difference is, infinite
// when the lengths differ.
double largest_difference(const std::vector<double>& a, const std::vector<double>& b);

}  // namespace aviary
