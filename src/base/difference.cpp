#include "base/difference.h"

#include <cmath>
#include <limits>

namespace aviary {

double larger(double a, double b) { return std::isnan(a) || a > b ? a : b; }

double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
  if (a.size() != b.size()) return std::numeric_limits<double>::infinity();
  double largest = 0;
  for (size_t i = 0; i < a.size(); ++i) largest = larger(largest, std::abs(a[i] - b[i]));
  return largest;
}

}  // namespace aviary
