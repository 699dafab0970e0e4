#include "grammar/numbers.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <compare>
#include <nlohmann/json.hpp>

#include "base/error.h"

namespace aviary::grammar {
namespace {

constexpr std::string_view alphabet = "-.0123456789";
constexpr int32_t most_digits = 400;

enum Phase : uint8_t { at_start, after_minus, in_whole, after_zero, after_point, in_fraction };

// What a plain decimal may look like after the next character.
std::optional<Phase> next_phase(Phase phase, char c) {
  if (c == '-') return phase == at_start ? std::optional(after_minus) : std::nullopt;
  if (c == '.') return phase == in_whole || phase == after_zero ? std::optional(after_point) : std::nullopt;
  if (phase == at_start || phase == after_minus) return c == '0' ? after_zero : in_whole;
  if (phase == in_whole) return in_whole;
  if (phase == after_zero) return {};
  return in_fraction;
}

bool complete(Phase phase) { return phase == in_whole || phase == after_zero || phase == in_fraction; }

struct FormState {
  Phase phase = at_start;
  bool negative = false;
  int32_t digits = 0;
  auto operator<=>(const FormState&) const = default;
};

std::optional<FormState> next_form(const FormState& state, char c, int32_t whole, int32_t all) {
  const std::optional<Phase> phase = next_phase(state.phase, c);
  if (!phase || (*phase == after_point && state.digits >= all)) return {};
  FormState next{.phase = *phase, .negative = state.negative || c == '-', .digits = state.digits};
  if (c != '-' && c != '.') ++next.digits;
  if (next.digits > (*phase == in_fraction ? all : whole)) return {};
  return next;
}

struct BoundState {
  Phase phase = at_start;
  bool negative = false, nonzero = false;
  int32_t digits = 0;      // before the point, at most one more than the limit has, or after it
  int32_t comparison = 0;  // of the digits read so far with those of the limit
  auto operator<=>(const BoundState&) const = default;
};

class BoundStates {
 public:
  BoundStates(Bound bound, const Decimal& limit) : bound_(bound), limit_(limit) {}

  std::optional<BoundState> next(const BoundState& state, char c) const {
    const std::optional<Phase> phase = next_phase(state.phase, c);
    if (!phase) return {};
    BoundState next = state;
    next.phase = *phase;
    if (c == '-') {
      next.negative = true;
    } else if (c == '.') {
      next.comparison = whole_comparison(state);
      next.digits = 0;
    } else {
      next.nonzero = state.nonzero || c != '0';
      const bool fraction = *phase == in_fraction;
      const std::string& digits = fraction ? limit_.fraction : limit_.whole;
      const auto place = static_cast<size_t>(state.digits);
      if (next.comparison == 0 && (fraction || place < digits.size()))
        next.comparison = sign(c - (place < digits.size() ? digits[place] : '0'));
      next.digits = std::min(state.digits + 1, static_cast<int32_t>(digits.size()) + 1);
    }
    return next;
  }

  bool accepts(const BoundState& state) const {
    if (!complete(state.phase)) return false;
    int32_t magnitude = state.phase == in_fraction ? state.comparison : whole_comparison(state);
    const bool fraction_left =
        state.phase != in_fraction || static_cast<size_t>(state.digits) < limit_.fraction.size();
    if (magnitude == 0 && fraction_left && !limit_.fraction.empty()) magnitude = -1;
    const bool limit_is_zero = limit_.whole == "0" && limit_.fraction.empty();
    const bool negative = state.negative && state.nonzero, limit_negative = limit_.negative && !limit_is_zero;
    int32_t order = negative ? -magnitude : magnitude;
    if (negative != limit_negative) order = negative ? -1 : 1;
    switch (bound_) {
      case Bound::least:
        return order >= 0;
      case Bound::most:
        return order <= 0;
      case Bound::above:
        return order > 0;
      case Bound::below:
        return order < 0;
    }
    return false;
  }

 private:
  static int32_t sign(int32_t value) { return value < 0 ? -1 : value > 0 ? 1 : 0; }
  // Of the digits before the point: more digits are a larger number.
  int32_t whole_comparison(const BoundState& state) const {
    const auto length = static_cast<int32_t>(limit_.whole.size());
    return state.digits != length ? sign(state.digits - length) : state.comparison;
  }

  const Bound bound_;
  const Decimal limit_;
};

struct MultipleState {
  Phase phase = at_start;
  int32_t rest = 0;    // of the digits read so far
  int32_t digits = 0;  // after the point
  auto operator<=>(const MultipleState&) const = default;
};

void normalize(Decimal& number) {
  number.whole.erase(0, std::min(number.whole.find_first_not_of('0'), number.whole.size()));
  if (number.whole.empty()) number.whole.push_back('0');
  number.fraction.resize(number.fraction.find_last_not_of('0') + 1);
  if (number.whole == "0" && number.fraction.empty()) number.negative = false;
}

std::optional<Decimal> decimal_of_text(std::string_view text) {
  Decimal number;
  number.negative = text.starts_with('-');
  if (number.negative) text.remove_prefix(1);
  int32_t exponent = 0;
  if (const size_t e = text.find_first_of("eE"); e != text.npos) {
    std::string_view digits = text.substr(e + 1);
    if (digits.starts_with('+')) digits.remove_prefix(1);
    std::from_chars(digits.data(), digits.data() + digits.size(), exponent);
    text = text.substr(0, e);
  }
  const size_t point = std::min(text.find('.'), text.size());
  if (exponent > most_digits || exponent < -most_digits) return {};
  number.whole = text.substr(0, point);
  number.fraction = text.substr(std::min(point + 1, text.size()));
  for (; exponent > 0; --exponent) {
    number.whole += number.fraction.empty() ? '0' : number.fraction.front();
    number.fraction.erase(0, 1);
  }
  for (; exponent < 0; ++exponent) {
    number.fraction.insert(number.fraction.begin(), number.whole.empty() ? '0' : number.whole.back());
    if (!number.whole.empty()) number.whole.pop_back();
  }
  normalize(number);
  return number;
}

}  // namespace

std::optional<Decimal> decimal_of(const nlohmann::ordered_json& number) {
  if (number.is_number_unsigned()) return decimal_of_text(fmt::format("{}", number.get<uint64_t>()));
  if (number.is_number_integer()) return decimal_of_text(fmt::format("{}", number.get<int64_t>()));
  return decimal_of_text(fmt::format("{}", number.get<double>()));
}

std::string text_of(const Decimal& number) {
  return fmt::format("{}{}{}{}", number.negative ? "-" : "", number.whole, number.fraction.empty() ? "" : ".",
                     number.fraction);
}

Dfa dfa_of_decimals(int32_t whole_digits, int32_t all_digits, Work& work) {
  return explore(
      FormState{}, alphabet,
      [&](const FormState& state, char c) { return next_form(state, c, whole_digits, all_digits); },
      [](const FormState& state) { return complete(state.phase); }, work);
}

Dfa dfa_of_integers(int32_t digits, Work& work) {
  return explore(
      FormState{}, alphabet,
      [&](const FormState& state, char c) {
        return c == '.' ? std::nullopt : next_form(state, c, digits, digits);
      },
      [](const FormState& state) {
        return complete(state.phase) && !(state.phase == after_zero && state.negative);
      },
      work);
}

Dfa dfa_of_bound(Bound bound, const Decimal& limit, Work& work) {
  const BoundStates states(bound, limit);
  return explore(
      BoundState{}, alphabet, [&](const BoundState& state, char c) { return states.next(state, c); },
      [&](const BoundState& state) { return states.accepts(state); }, work);
}

std::optional<Dfa> dfa_of_multiples(const Decimal& unit, Work& work) {
  constexpr int32_t largest = 20'000, longest = 15;
  // unit = divisor / 10^digits
  const std::string all = unit.whole + unit.fraction;
  const size_t first = std::min(all.find_first_not_of('0'), all.size());
  const auto digits = static_cast<int32_t>(unit.fraction.size());
  int32_t divisor = 0;
  for (const char c : all.substr(first)) {
    divisor = divisor * 10 + (c - '0');
    if (divisor > largest) return {};
  }
  if (divisor == 0 || digits > longest) return {};
  auto next = [&](const MultipleState& state, char c) -> std::optional<MultipleState> {
    const std::optional<Phase> phase = next_phase(state.phase, c);
    if (!phase) return {};
    MultipleState after{.phase = *phase, .rest = state.rest, .digits = state.digits};
    if (c == '-' || c == '.') return after;
    if (*phase == in_fraction && state.digits == digits)
      return c == '0' ? std::optional(after) : std::nullopt;
    after.rest = (state.rest * 10 + (c - '0')) % divisor;
    if (*phase == in_fraction) ++after.digits;
    return after;
  };
  auto accepts = [&](const MultipleState& state) {
    int64_t rest = state.rest;
    for (int32_t i = state.digits; i < digits; ++i) rest = rest * 10 % divisor;
    return complete(state.phase) && rest == 0;
  };
  return explore(MultipleState{}, alphabet, next, accepts, work);
}

}  // namespace aviary::grammar
