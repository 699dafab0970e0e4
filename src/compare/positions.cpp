#include "compare/positions.h"

#include <algorithm>
#include <cmath>

namespace aviary {
namespace {

constexpr double position_step = 1.25;  // ratio of one bin of positions to the previous one

}  // namespace

std::vector<PositionBin> bins_of(const PositionLoss& loss, int64_t context) {
  const int64_t length = std::ssize(loss.nats);
  std::vector<PositionBin> bins;
  for (int64_t begin = 0, end; begin < length; begin = end) {
    end = std::clamp<int64_t>(static_cast<int64_t>(static_cast<double>(begin + 1) * position_step), begin + 1,
                              length);
    if (begin < context && end > context) end = context;
    bins.push_back({std::sqrt(static_cast<double>((begin + 1) * end)), loss.mean(begin, end)});
  }
  return bins;
}

}  // namespace aviary
