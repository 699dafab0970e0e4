// Reads one JSON Schema per line, and writes one line for each: {"texts": [...]}, texts that its grammar
// allows, or
// {"refused": "why"}.
//   grammar_helper TEXTS SEED < schemas
#include <fmt/format.h>

#include <charconv>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/random.h"
#include "grammar/grammar.h"
#include "grammar/matcher.h"

namespace {

using namespace aviary;

// A text that is chosen at random byte by byte; the longer it is, the likelier are bytes that end something.
// Empty if it becomes too long.
std::string random_text(const Grammar::Ptr& grammar, Random& random) {
  constexpr size_t longest = 20'000, long_enough = 150;
  Matcher matcher(grammar);
  std::string text;
  while (text.size() < longest) {
    std::vector<uint8_t> allowed, closing;
    for (int byte = 0; byte < 256; ++byte) {
      Matcher copy = matcher;
      if (!copy.accept(static_cast<uint8_t>(byte))) continue;
      allowed.push_back(static_cast<uint8_t>(byte));
      if (byte == '"' || byte == ']' || byte == '}' || byte == ',')
        closing.push_back(static_cast<uint8_t>(byte));
    }
    if (allowed.empty() || (matcher.may_end() && random.below(3) == 0)) return text;
    const bool close = !closing.empty() && random.below(text.size() > long_enough ? 10 : 3) > 0;
    if (close && text.size() > long_enough && closing.size() > 1) std::erase(closing, ',');
    const std::vector<uint8_t>& from = close ? closing : allowed;
    const uint8_t byte = from[static_cast<size_t>(random.below(std::ssize(from)))];
    matcher.accept(byte);
    text += static_cast<char>(byte);
  }
  return "";
}

int64_t number_of(std::string_view text) {
  int64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

}  // namespace

int main(int, char** argv) {
  const int64_t texts = number_of(argv[1]);
  Random random(static_cast<uint64_t>(number_of(argv[2])));
  for (std::string line; std::getline(std::cin, line);) {
    nlohmann::json answer;
    try {
      const WhiteSpace forms[] = {WhiteSpace::compact, WhiteSpace::spaced, WhiteSpace::free};
      const Grammar::Ptr grammar =
          Grammar::from_json_schema_text(line, {.white_space = forms[random.below(3)]});
      answer["texts"] = nlohmann::json::array();
      for (int64_t i = 0; i < texts; ++i) {
        const std::string text = random_text(grammar, random);
        if (!text.empty()) answer["texts"].push_back(text);
      }
    } catch (const Error& error) {
      answer = {{"refused", error.what()}};
    }
    std::cout << answer.dump() << "\n";
  }
  return 0;
}
