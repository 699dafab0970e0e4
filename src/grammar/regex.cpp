#include "grammar/regex.h"

#include <optional>
#include <string>
#include <utility>

#include "base/error.h"
#include "base/utf8.h"

namespace aviary::grammar {
namespace {

constexpr int deepest_regex = 200;
constexpr int32_t most_regex_repeats = 100'000;

CharSet digits() { return CharSet({{'0', '9'}}); }
CharSet word_characters() { return CharSet({{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}}); }
// ECMAScript's WhiteSpace and LineTerminator.
CharSet space_characters() {
  return CharSet({{0x09, 0x0d},
                  {0x20, 0x20},
                  {0xa0, 0xa0},
                  {0x1680, 0x1680},
                  {0x2000, 0x200a},
                  {0x2028, 0x2029},
                  {0x202f, 0x202f},
                  {0x205f, 0x205f},
                  {0x3000, 0x3000},
                  {0xfeff, 0xfeff}});
}
CharSet line_ends() { return CharSet({{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}}); }

Regex regex_of(CharSet set) { return {.kind = Regex::Kind::chars, .set = std::move(set)}; }

class RegexParser {
 public:
  explicit RegexParser(std::string_view text) : text_(text) {
    require(is_utf8(text), "regular expression: it is not UTF-8");
  }

  Regex parse() {
    Regex regex = choice();
    if (at_ < text_.size()) complain("an unmatched ')'");
    return regex;
  }

 private:
  [[noreturn]] void complain(std::string_view what) const {
    fail("regular expression {}: {} at byte {}", in_quotes(text_), what, at_);
  }
  [[noreturn]] void refuse(std::string_view what) const {
    fail("regular expression {}: {} at byte {} is not supported", in_quotes(text_), what, at_);
  }

  bool ended() const { return at_ == text_.size(); }
  bool starts(std::string_view word) const { return text_.substr(at_).starts_with(word); }
  bool take(std::string_view word) {
    if (!starts(word)) return false;
    at_ += word.size();
    return true;
  }
  uint32_t character() {
    if (ended()) complain("something is missing");
    const auto length = static_cast<size_t>(utf8_step(text_.substr(at_)).length);
    const uint32_t code = utf8_code_point(text_.substr(at_, length));
    at_ += length;
    return code;
  }

  Regex choice() {
    if (++depth_ > deepest_regex) refuse(fmt::format("nesting of more than {} groups", deepest_regex));
    Regex regex{.kind = Regex::Kind::choice};
    do regex.parts.push_back(sequence());
    while (take("|"));
    --depth_;
    return regex.parts.size() == 1 ? Regex(std::move(regex.parts.front())) : regex;
  }

  Regex sequence() {
    Regex regex;
    while (!ended() && !starts("|") && !starts(")")) {
      Regex atom_read = atom();
      regex.parts.push_back(repeated(std::move(atom_read)));
    }
    return regex;
  }

  Regex atom() {
    if (take("^")) return {.kind = Regex::Kind::text_begin};
    if (take("$")) return {.kind = Regex::Kind::text_end};
    if (take(".")) return regex_of(line_ends().complement());
    if (starts("(")) return group();
    if (take("[")) return regex_of(bracket());
    if (take("\\")) return regex_of(escape(false));
    for (const char special : {'*', '+', '?', '{', '}', ']'})
      if (text_[at_] == special) complain(fmt::format("'{}' without a backslash", special));
    const uint32_t code = character();
    return regex_of(CharSet({{code, code}}));
  }

  Regex group() {
    if (starts("(?=") || starts("(?!")) refuse("a look-ahead");
    if (starts("(?<=") || starts("(?<!")) refuse("a look-behind");
    if (take("(?<")) {
      const size_t end = text_.find('>', at_);
      if (end == text_.npos || end == at_) complain("a name of a group without its end");
      at_ = end + 1;
    } else if (!take("(?:")) {
      if (starts("(?")) refuse("a group with flags");
      take("(");
    }
    Regex inside = choice();
    if (!take(")")) complain("a group without its ')'");
    return inside;
  }

  std::optional<int32_t> number() {
    const size_t begin = at_;
    int64_t value = 0;
    for (; !ended() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_) {
      value = value * 10 + (text_[at_] - '0');
      if (value > most_regex_repeats) refuse(fmt::format("a count above {}", most_regex_repeats));
    }
    return at_ == begin ? std::nullopt : std::optional(static_cast<int32_t>(value));
  }

  // The part with the quantifier that follows it, if any.
  Regex repeated(Regex part) {
    Regex regex{.kind = Regex::Kind::repeat};
    if (take("*")) {
    } else if (take("+")) {
      regex.least = 1;
    } else if (take("?")) {
      regex.most = 1;
    } else if (take("{")) {
      const std::optional<int32_t> least = number();
      if (!least) complain("a count is missing");
      regex.least = regex.most = *least;
      if (take(",")) regex.most = number().value_or(-1);
      if (!take("}")) complain("a count without its '}'");
      if (regex.most >= 0 && regex.most < regex.least) complain("a count whose maximum is below its minimum");
    } else {
      return part;
    }
    if (part.kind == Regex::Kind::text_begin || part.kind == Regex::Kind::text_end)
      complain("an anchor that is repeated");
    take("?");  // the shortest match first: the same texts match
    if (starts("*") || starts("+") || starts("?") || starts("{")) complain("two counts in a row");
    regex.parts.push_back(std::move(part));
    return regex;
  }

  uint32_t hex(int count) {
    uint32_t value = 0;
    for (int i = 0; i < count; ++i, ++at_) {
      const char c = ended() ? ' ' : text_[at_];
      const bool decimal = c >= '0' && c <= '9', lower = c >= 'a' && c <= 'f', upper = c >= 'A' && c <= 'F';
      if (!decimal && !lower && !upper) complain("a hexadecimal digit is missing");
      value = value * 16 + static_cast<uint32_t>(decimal ? c - '0' : lower ? c - 'a' + 10 : c - 'A' + 10);
    }
    return value;
  }

  uint32_t unicode_escape() {
    if (take("{")) {
      uint32_t value = 0;
      int count = 0;
      for (; !starts("}"); ++count) {
        value = value * 16 + hex(1);
        if (value > 0x10ffff) complain("a character above U+10FFFF");
      }
      if (count == 0) complain("a hexadecimal digit is missing");
      take("}");
      return value;
    }
    const uint32_t first = hex(4);
    if (first < 0xd800 || first > 0xdbff) return first;
    if (!take("\\u")) refuse("half of a surrogate pair");
    const uint32_t second = hex(4);
    if (second < 0xdc00 || second > 0xdfff) refuse("half of a surrogate pair");
    return 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
  }

  // After the backslash.
  CharSet escape(bool in_brackets) {
    if (ended()) complain("nothing after a backslash");
    if (in_brackets && take("-")) return CharSet({{'-', '-'}});
    if (in_brackets && take("b")) return CharSet({{'\b', '\b'}});
    if (take("d")) return digits();
    if (take("D")) return digits().complement();
    if (take("w")) return word_characters();
    if (take("W")) return word_characters().complement();
    if (take("s")) return space_characters();
    if (take("S")) return space_characters().complement();
    const uint32_t code = escaped_character();
    return CharSet({{code, code}});
  }

  uint32_t escaped_character() {
    constexpr std::pair<std::string_view, uint32_t> controls[] = {
        {"n", '\n'}, {"r", '\r'}, {"t", '\t'}, {"f", '\f'}, {"v", '\v'}};
    for (const auto& [letter, code] : controls)
      if (take(letter)) return code;
    if (take("x")) return hex(2);
    if (take("u")) {
      const uint32_t code = unicode_escape();
      if (code >= 0xd800 && code <= 0xdfff) refuse("half of a surrogate pair");
      return code;
    }
    if (take("c")) {
      const uint32_t letter = character() | 0x20;
      if (letter < 'a' || letter > 'z') complain("a letter after \\c is missing");
      return letter - 'a' + 1;
    }
    if (take("0") && (ended() || text_[at_] < '0' || text_[at_] > '9')) return 0;
    if (starts("b") || starts("B")) refuse("the boundary of a word");
    if (starts("p") || starts("P")) refuse("a Unicode property");
    if (!ended() && text_[at_] >= '0' && text_[at_] <= '9') refuse("a back reference");
    const uint32_t code = character();
    if (code >= 0x80 || word_character(code)) refuse("this escape");
    return code;
  }

  static bool word_character(uint32_t code) {
    return (code >= '0' && code <= '9') || ((code | 0x20) >= 'a' && (code | 0x20) <= 'z') || code == '_';
  }

  static std::optional<uint32_t> single(const CharSet& set) {
    if (set.ranges().size() != 1 || set.ranges()[0].low != set.ranges()[0].high) return {};
    return set.ranges()[0].low;
  }

  CharSet class_atom() {
    if (take("\\")) return escape(true);
    const uint32_t code = character();
    return CharSet({{code, code}});
  }

  // After the '['.
  CharSet bracket() {
    const bool negated = take("^");
    std::vector<CharSet::Range> ranges;
    while (!take("]")) {
      if (ended()) complain("a '[' without its ']'");
      const CharSet first = class_atom();
      if (!starts("-") || text_.substr(at_).starts_with("-]")) {
        ranges.insert(ranges.end(), first.ranges().begin(), first.ranges().end());
        continue;
      }
      take("-");
      const std::optional<uint32_t> low = single(first), high = single(class_atom());
      if (!low || !high) complain("a range without two characters");
      if (*low > *high) complain("a range in the wrong order");
      ranges.push_back({*low, *high});
    }
    const CharSet set(std::move(ranges));
    return negated ? set.complement() : set;
  }

  std::string_view text_;
  size_t at_ = 0;
  int depth_ = 0;
};

}  // namespace

Regex parse_regex(std::string_view text) { return RegexParser(text).parse(); }

}  // namespace aviary::grammar
