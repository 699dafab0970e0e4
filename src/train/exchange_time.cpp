#include "train/exchange_time.h"

#include <bit>
#include <charconv>
#include <cmath>

#include "base/error.h"
#include "base/quotes.h"

namespace aviary {
namespace {

constexpr double message_bytes = 4 << 20;  // each is sent when the one before it has arrived
// Small messages that every rank waits for in a step: the order to make one, the losses, the squares of the
// gradients, each from rank to rank log2(ranks) times.
constexpr double small_rounds = 3;

}  // namespace

Link link_of(const std::string& text) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string unit(static_cast<const char*>(end), text.data() + text.size());
  const double factor = unit == "Kbit" ? 1e3 : unit == "Mbit" ? 1e6 : unit == "Gbit" ? 1e9 : 0;
  require(error == std::errc() && factor > 0 && std::isfinite(number) && number > 0,
          "--link: \"{}\" is no speed of a line; expected bits per second as 10Mbit, 1Gbit or 2.5Gbit",
          excerpt(text));
  return {.bits_per_second = number * factor};
}

double exchange_seconds(int64_t ranks, int64_t numbers, int64_t bytes_per_gradient, const Link& link) {
  if (ranks <= 1) return 0;
  const double rounds = std::bit_width(static_cast<uint64_t>(ranks)) - 1;
  const double part = static_cast<double>(ranks - 1) / static_cast<double>(ranks);
  const double bytes = part * static_cast<double>(numbers) * static_cast<double>(bytes_per_gradient + 4);
  const double messages = 2 * rounds + bytes / message_bytes + small_rounds * rounds;
  return 8 * bytes / link.bits_per_second + messages * link.latency;
}

}  // namespace aviary
