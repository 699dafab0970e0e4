#include "grammar/gbnf.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/utf8.h"

namespace aviary::grammar {
namespace {

constexpr int deepest_gbnf = 200;
constexpr int64_t most_gbnf_repeats = 1'000'000;

bool name_character(char c) {
  const char lower = static_cast<char>(c | 0x20);
  return (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

class GbnfParser {
 public:
  GbnfParser(Automaton& automaton, std::string_view text) : automaton_(automaton), text_(text) {
    require(is_utf8(text), "GBNF: the grammar is not UTF-8");
  }

  int32_t parse() {
    skip(true);
    while (!ended()) {
      read_rule();
      skip(true);
    }
    for (const auto& [name, rule] : rules_)
      require(rule.defined, "GBNF: the rule {} is used in line {}, but not defined", in_quotes(name),
              rule.line);
    const auto root = rules_.find("root");
    require(root != rules_.end(), "GBNF: there is no rule 'root', with which a text begins");
    return root->second.number;
  }

 private:
  struct Known {
    int32_t number = 0;
    bool defined = false;
    size_t line = 0;  // of its first appearance
  };

  bool ended() const { return at_ == text_.size(); }
  char here() const { return ended() ? '\0' : text_[at_]; }
  bool starts(std::string_view word) const { return text_.substr(at_).starts_with(word); }
  bool take(std::string_view word) {
    if (!starts(word)) return false;
    at_ += word.size();
    return true;
  }
  size_t line() const {
    return 1 +
           static_cast<size_t>(std::count(text_.begin(), text_.begin() + static_cast<ptrdiff_t>(at_), '\n'));
  }
  [[noreturn]] void complain(std::string_view what) const {
    const size_t begin = text_.substr(0, at_).rfind('\n');
    const size_t column = begin == text_.npos ? at_ + 1 : at_ - begin;
    fail("GBNF: {} in line {}, column {}", what, line(), column);
  }

  // White space and comments; across lines only where a rule cannot end.
  void skip(bool lines) {
    while (!ended()) {
      const char c = here();
      if (c == '#') {
        while (!ended() && here() != '\n' && here() != '\r') ++at_;
      } else if (c == ' ' || c == '\t' || (lines && (c == '\n' || c == '\r'))) {
        ++at_;
      } else {
        return;
      }
    }
  }

  std::string name() {
    const size_t begin = at_;
    while (!ended() && name_character(here())) ++at_;
    if (at_ == begin) complain("a name is missing");
    return std::string(text_.substr(begin, at_ - begin));
  }

  Known& known(const std::string& name) {
    const auto [place, fresh] = rules_.emplace(name, Known{});
    if (fresh) place->second = {.number = automaton_.add_rule(name), .line = line()};
    return place->second;
  }

  void read_rule() {
    const std::string rule_name = name();
    skip(false);
    if (!take("::=")) complain("'::=' is missing");
    Known& rule = known(rule_name);
    if (rule.defined) complain(fmt::format("the rule {} is defined twice,", in_quotes(rule_name)));
    rule.defined = true;
    const int32_t number = rule.number;
    skip(true);
    read_choice(automaton_.rule(number).start, automaton_.rule(number).end, false);
    skip(false);
    if (!ended() && here() != '\n' && here() != '\r') complain("the end of the line is missing");
  }

  void read_choice(int32_t from, int32_t to, bool nested) {
    if (++depth_ > deepest_gbnf) complain(fmt::format("more than {} nested groups", deepest_gbnf));
    do {
      skip(true);
      const int32_t begin = automaton_.add_state();
      automaton_.add_free(from, begin);
      automaton_.add_free(read_sequence(begin, nested), to);
    } while (take_bar());
    --depth_;
  }

  // Also at the begin of a later line, since no rule begins with it.
  bool take_bar() {
    const size_t before = at_;
    skip(true);
    if (take("|")) return true;
    at_ = before;
    return false;
  }

  int32_t read_sequence(int32_t from, bool nested) {
    skip(nested);
    while (!ended() && here() != '|' && here() != ')' && here() != '\n' && here() != '\r') {
      // A rule of its own, which may be repeated.
      const int32_t part = automaton_.add_rule("part");
      read_part(automaton_.rule(part).start, automaton_.rule(part).end);
      skip(nested);
      from = read_repeats(from, part);
      skip(nested);
    }
    return from;
  }

  void read_part(int32_t from, int32_t to) {
    if (take("\"")) {
      int32_t state = from;
      while (!take("\"")) {
        if (ended()) complain("a text without its '\"'");
        std::string character;
        append(character, character_of_text());
        state = automaton_.add_text(state, character);
      }
      automaton_.add_free(state, to);
    } else if (take("[")) {
      automaton_.add_free(automaton_.add_chars(from, bracket()), to);
    } else if (take("(")) {
      read_choice(from, to, true);
      skip(true);
      if (!take(")")) complain("a group without its ')'");
    } else if (take(".")) {
      automaton_.add_free(automaton_.add_chars(from, CharSet::all()), to);
    } else if (starts("<") || starts("!<")) {
      complain("a token (<...>) is not supported");
    } else if (name_character(here())) {
      const int32_t rule = known(name()).number;
      automaton_.add_call(from, rule, to);
    } else {
      complain("expected a text, a name, '[', '(' or '.'");
    }
  }

  int64_t number() {
    const size_t begin = at_;
    int64_t value = 0;
    for (; here() >= '0' && here() <= '9'; ++at_) {
      value = value * 10 + (here() - '0');
      if (value > most_gbnf_repeats) complain(fmt::format("a count above {}", most_gbnf_repeats));
    }
    return at_ == begin ? -1 : value;
  }

  int32_t read_repeats(int32_t from, int32_t part) {
    int64_t least = 0, most = -1;
    if (take("*")) {
    } else if (take("+")) {
      least = 1;
    } else if (take("?")) {
      most = 1;
    } else if (take("{")) {
      skip(true);
      least = number();
      skip(true);
      if (take(",")) {
        skip(true);
        most = number();
        skip(true);
      } else {
        most = least;
      }
      if (least < 0) complain("a count is missing");
      if (!take("}")) complain("a count without its '}'");
      if (most >= 0 && most < least) complain("a count whose maximum is below its minimum");
    } else {
      return automaton_.add_call(from, part);
    }
    skip(false);
    for (const char c : {'*', '+', '?', '{'})
      if (here() == c) complain("two counts in a row");
    return automaton_.add_loop(from, part, static_cast<int32_t>(least), static_cast<int32_t>(most));
  }

  static void append(std::string& text, uint32_t code) { append_utf8(text, code); }

  uint32_t hex(int count) {
    uint32_t value = 0;
    for (int i = 0; i < count; ++i, ++at_) {
      const char c = here(), lower = static_cast<char>(c | 0x20);
      const bool decimal = c >= '0' && c <= '9';
      if (!decimal && (lower < 'a' || lower > 'f')) complain("a hexadecimal digit is missing");
      value = value * 16 + static_cast<uint32_t>(decimal ? c - '0' : lower - 'a' + 10);
    }
    if (value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff)) complain("this number is no character,");
    return value;
  }

  // The next character of a text or of brackets, which may be escaped.
  uint32_t character_of_text() {
    if (ended() || here() == '\n') complain("the line ends too early");
    if (take("\\")) {
      if (take("x")) return hex(2);
      if (take("u")) return hex(4);
      if (take("U")) return hex(8);
      if (take("n")) return '\n';
      if (take("r")) return '\r';
      if (take("t")) return '\t';
      for (const char c : {'\\', '"', '[', ']', '-', '^'})
        if (take(std::string_view(&c, 1))) return static_cast<uint32_t>(c);
      complain("an unknown escape");
    }
    const auto length = static_cast<size_t>(utf8_step(text_.substr(at_)).length);
    const uint32_t code = utf8_code_point(text_.substr(at_, length));
    at_ += length;
    return code;
  }

  // After the '['.
  CharSet bracket() {
    const bool negated = take("^");
    std::vector<CharSet::Range> ranges;
    while (!take("]")) {
      if (ended()) complain("a '[' without its ']'");
      const uint32_t low = character_of_text();
      uint32_t high = low;
      if (starts("-") && !starts("-]")) {
        take("-");
        high = character_of_text();
        if (high < low) complain("a range in the wrong order");
      }
      ranges.push_back({low, high});
    }
    const CharSet set(std::move(ranges));
    return negated ? set.complement() : set;
  }

  Automaton& automaton_;
  std::string_view text_;
  size_t at_ = 0;
  int depth_ = 0;
  std::map<std::string, Known> rules_;
};

}  // namespace

int32_t add_gbnf(Automaton& automaton, std::string_view text) { return GbnfParser(automaton, text).parse(); }

}  // namespace aviary::grammar
