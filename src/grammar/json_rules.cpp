#include "grammar/json_rules.h"

#include <fmt/format.h>

#include <limits>
#include <string_view>

#include "base/error.h"
#include "grammar/numbers.h"
#include "grammar/regex.h"

namespace aviary::grammar {
namespace {

constexpr int32_t most_indentation = 40;

// The raw spelling of one byte of a string in JSON; empty: as it is.
std::string escaped(uint8_t byte) {
  switch (byte) {
    case '"':
      return "\\\"";
    case '\\':
      return "\\\\";
    case '\b':
      return "\\b";
    case '\f':
      return "\\f";
    case '\n':
      return "\\n";
    case '\r':
      return "\\r";
    case '\t':
      return "\\t";
    default:
      return byte < 0x20 ? fmt::format("\\u{:04x}", byte) : "";
  }
}

}  // namespace

template <typename Fill>
int32_t JsonRules::made(int32_t& rule, const char* name, Fill fill) {
  if (rule >= 0) return rule;
  rule = automaton_.add_rule(name);
  fill(automaton_.rule(rule).start, automaton_.rule(rule).end);
  return rule;
}

// At most one line break, and a bounded indentation: models get lost in unlimited white space.
int32_t JsonRules::white_space() {
  made(blank_, "blank", [&](int32_t start, int32_t end) {
    automaton_.add_bytes(start, ' ', ' ', end);
    automaton_.add_bytes(start, '\t', '\t', end);
  });
  return made(white_space_, "white space", [&](int32_t start, int32_t end) {
    automaton_.add_free(start, end);
    automaton_.add_bytes(start, ' ', ' ', end);
    const int32_t line = automaton_.add_text(start, "\n");
    automaton_.add_free(automaton_.add_loop(line, blank_, 0, most_indentation), end);
  });
}

int32_t JsonRules::open(int32_t from, char bracket) {
  const int32_t after = automaton_.add_text(from, std::string_view(&bracket, 1));
  return form_ == WhiteSpace::free ? automaton_.add_call(after, white_space()) : after;
}

int32_t JsonRules::close(int32_t from, char bracket) {
  if (form_ == WhiteSpace::free) from = automaton_.add_call(from, white_space());
  return automaton_.add_text(from, std::string_view(&bracket, 1));
}

int32_t JsonRules::comma(int32_t from) {
  if (form_ == WhiteSpace::free) return automaton_.add_call(automaton_.add_text(from, ","), white_space());
  return automaton_.add_text(from, form_ == WhiteSpace::spaced ? ", " : ",");
}

int32_t JsonRules::colon(int32_t from) {
  if (form_ == WhiteSpace::free) return automaton_.add_call(automaton_.add_text(from, ":"), white_space());
  return automaton_.add_text(from, form_ == WhiteSpace::spaced ? ": " : ":");
}

int32_t JsonRules::text(int32_t from, const Dfa& values) {
  const int32_t inside = automaton_.add_text(from, "\""), quote = automaton_.add_state();
  const auto first = static_cast<int32_t>(automaton_.states());
  for (size_t i = 0; i < values.states.size(); ++i) automaton_.add_state();
  if (!values.empty()) automaton_.add_free(inside, first);
  for (size_t i = 0; i < values.states.size(); ++i) {
    const int32_t here = first + static_cast<int32_t>(i);
    if (values.states[i].accepting) automaton_.add_free(here, quote);
    for (const Dfa::Edge& edge : values.states[i].edges) {
      for (int byte = edge.low; byte <= edge.high;) {
        const std::string spelling = escaped(static_cast<uint8_t>(byte));
        int last = byte;
        if (spelling.empty()) {  // with all bytes after it that are not escaped
          while (last < edge.high && escaped(static_cast<uint8_t>(last + 1)).empty()) ++last;
          automaton_.add_bytes(here, static_cast<uint8_t>(byte), static_cast<uint8_t>(last),
                               first + edge.target);
        } else {
          automaton_.add_free(automaton_.add_text(here, spelling), first + edge.target);
        }
        byte = last + 1;
      }
    }
  }
  return automaton_.add_text(quote, "\"");
}

void JsonRules::add_character(int32_t from, int32_t to) {
  const CharSet raw = CharSet({{0x00, 0x1f}, {'"', '"'}, {'\\', '\\'}}).complement();
  automaton_.add_free(automaton_.add_chars(from, raw), to);
  const int32_t escape = automaton_.add_text(from, "\\");
  for (const char letter : std::string_view("\"\\/bfnrt"))
    automaton_.add_bytes(escape, static_cast<uint8_t>(letter), static_cast<uint8_t>(letter), to);
  // \uXXXX, where a character above U+FFFF is two of them.
  constexpr std::string_view unicode =
      "u(?:[0-9A-Ca-cE-Fe-f][0-9A-Fa-f]{3}|[Dd][0-7][0-9A-Fa-f]{2}|[Dd][89ABab][0-9A-Fa-f]{2}\\\\u[Dd][C-Fc-"
      "f]"
      "[0-9A-Fa-f]{2})";
  automaton_.add_free(automaton_.add_dfa(escape, dfa_of_regex(unicode, Match::whole, work_)), to);
}

int32_t JsonRules::character() {
  return made(character_, "character", [&](int32_t start, int32_t end) { add_character(start, end); });
}

int32_t JsonRules::any_text(int32_t from, int64_t least, int64_t most) {
  constexpr int64_t unrolled = 8;
  int32_t here = automaton_.add_text(from, "\"");
  if (most < 0 && least <= unrolled) {  // without calls: the fastest form of the most frequent case
    for (int64_t i = 0; i < least; ++i) here = automaton_.add_call(here, character());
    const int32_t loop = automaton_.add_state();
    automaton_.add_free(here, loop);
    add_character(loop, loop);
    return automaton_.add_text(loop, "\"");
  }
  constexpr auto largest = std::numeric_limits<int32_t>::max() - 1;
  require(least <= largest, "schema: a text of at least {} characters is not supported, at most {}", least,
          largest);
  const int64_t limit = most > largest ? Automaton::no_limit : most;
  here = automaton_.add_loop(here, character(), static_cast<int32_t>(least), static_cast<int32_t>(limit));
  return automaton_.add_text(here, "\"");
}

int32_t JsonRules::any_string() {
  return made(string_, "string",
              [&](int32_t start, int32_t end) { automaton_.add_free(any_text(start, 0, -1), end); });
}

int32_t JsonRules::any_number() {
  return made(number_, "number", [&](int32_t start, int32_t end) {
    const int32_t plain = automaton_.add_dfa(start, dfa_of_decimals(most_whole_digits, most_digits, work_));
    automaton_.add_free(plain, end);
    // Two digits: every number of that size is finite in double precision.
    const Dfa exponent = dfa_of_regex("[eE][+-]?[0-9]{1,2}", Match::whole, work_);
    automaton_.add_free(automaton_.add_dfa(plain, exponent), end);
  });
}

int32_t JsonRules::any_integer() {
  return made(integer_, "integer", [&](int32_t start, int32_t end) {
    automaton_.add_free(automaton_.add_dfa(start, dfa_of_integers(most_whole_digits, work_)), end);
  });
}

int32_t JsonRules::any_array() {
  return made(array_, "array", [&](int32_t start, int32_t end) {
    const int32_t inside = open(start, '[');
    automaton_.add_free(automaton_.add_text(inside, "]"), end);
    const int32_t after = automaton_.add_call(inside, any_value());
    automaton_.add_call(comma(after), any_value(), after);
    automaton_.add_free(close(after, ']'), end);
  });
}

int32_t JsonRules::any_object() {
  return made(object_, "object", [&](int32_t start, int32_t end) {
    const int32_t inside = open(start, '{'), after = automaton_.add_state();
    automaton_.add_free(automaton_.add_text(inside, "}"), end);
    const int32_t member = automaton_.add_state();
    automaton_.add_free(inside, member);
    automaton_.add_free(comma(after), member);
    automaton_.add_call(colon(automaton_.add_call(member, any_string())), any_value(), after);
    automaton_.add_free(close(after, '}'), end);
  });
}

int32_t JsonRules::any_value() {
  return made(value_, "value", [&](int32_t start, int32_t end) {
    for (const std::string_view word : {"null", "true", "false"})
      automaton_.add_free(automaton_.add_text(start, word), end);
    for (const int32_t rule : {any_string(), any_number(), any_array(), any_object()})
      automaton_.add_call(start, rule, end);
  });
}

}  // namespace aviary::grammar
