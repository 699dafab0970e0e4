// Which spellings of JSON numbers satisfy a bound or are a multiple. Numbers here are plain decimals without
// an exponent: -?(0|[1-9][0-9]*)(.[0-9]+)?
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "grammar/dfa.h"

namespace aviary::grammar {

// |x| = whole.fraction, without zeros at the begin of `whole` (at least one digit) or at the end of
// `fraction`.
struct Decimal {
  bool negative = false;
  std::string whole = "0", fraction = {};
};

// The number that a JSON value has; nothing for one with more than 400 digits.
std::optional<Decimal> decimal_of(const nlohmann::ordered_json& number);
// Without an exponent.
std::string text_of(const Decimal& number);

enum class Bound : uint8_t { least, most, above, below };

// Plain decimals with at most so many digits before the point, and in all; integers have no point, and no -0.
Dfa dfa_of_decimals(int32_t whole_digits, int32_t all_digits, Work& work);
Dfa dfa_of_integers(int32_t digits, Work& work);
// Plain decimals that satisfy the bound.
Dfa dfa_of_bound(Bound bound, const Decimal& limit, Work& work);
// Plain decimals that are a multiple of `unit`, which is above 0. Nothing if its digits are a number above
// 20,000, such as those of 1.00001.
std::optional<Dfa> dfa_of_multiples(const Decimal& unit, Work& work);

}  // namespace aviary::grammar
