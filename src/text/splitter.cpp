#include "text/splitter.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <cctype>
#include <cstdint>

#include "base/error.h"
#include "base/quotes.h"

namespace aviary {

namespace {

constexpr size_t longest_pattern = 4096;
constexpr uint32_t most_steps = 10'000'000, most_heap_kilobytes = 64 << 10;

template <auto release>
struct Release {
  template <typename T>
  void operator()(T* object) const {
    release(object);
  }
};
using Code = std::unique_ptr<pcre2_code, Release<pcre2_code_free>>;
using MatchData = std::unique_ptr<pcre2_match_data, Release<pcre2_match_data_free>>;
using MatchContext = std::unique_ptr<pcre2_match_context, Release<pcre2_match_context_free>>;

// What may follow an opening parenthesis and has the same meaning in both libraries; a plain group needs
// nothing.
bool known_group(std::string_view after) {
  if (!after.starts_with("?")) return !after.starts_with("*");
  for (const char* known : {"?:", "?i:", "?=", "?!", "?<=", "?<!", "?>"})
    if (after.starts_with(known)) return true;
  return false;
}

// Length of a known escape after a backslash: punctuation, a class, a control character, or \p with a general
// category (scripts differ between libraries); otherwise 0.
size_t known_escape(std::string_view after) {
  if (after.empty()) return 0;
  if (after[0] == 'p' || after[0] == 'P') {
    const size_t end = after.find('}');
    return after.substr(1).starts_with("{") && (end == 3 || end == 4) ? end + 1 : 0;
  }
  const auto c = static_cast<uint8_t>(after[0]);
  const bool known =
      std::isalnum(c) == 0 || std::string_view("sSdDrnt").find(after[0]) != std::string_view::npos;
  return c < 0x80 && known ? 1 : 0;
}

std::string explain(int code) {
  PCRE2_UCHAR text[256];
  pcre2_get_error_message(code, text, sizeof text);
  return reinterpret_cast<const char*>(text);
}

Code compile(const std::string& pattern) {
  const std::string translated = translate_pattern(pattern);
  int error = 0;
  PCRE2_SIZE offset = 0;
  Code code(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                          PCRE2_UTF | PCRE2_UCP, &error, &offset, nullptr));
  require(code != nullptr, "split pattern \"{}\": {}", excerpt(pattern), explain(error));
  uint32_t matches_nothing = 0;
  pcre2_pattern_info(code.get(), PCRE2_INFO_MATCHEMPTY, &matches_nothing);
  require(matches_nothing == 0, "split pattern \"{}\": it may match the empty text, which cuts nothing",
          excerpt(pattern));
  pcre2_jit_compile(code.get(),
                    PCRE2_JIT_COMPLETE);  // if the system forbids JIT, matching is only slower
  return code;
}

}  // namespace

struct Splitter::Rule {
  SplitRule rule;
  Code code;
  MatchContext context;

  explicit Rule(const SplitRule& of) : rule(of), code(compile(of.pattern)) {
    context.reset(pcre2_match_context_create(nullptr));
    require(context != nullptr, "split pattern: out of memory");
    pcre2_set_match_limit(context.get(), most_steps);
    pcre2_set_heap_limit(context.get(), most_heap_kilobytes);
  }

  // Finds the first match at or after `begin`; false if there is none.
  bool find(std::string_view text, size_t begin, pcre2_match_data* data) const {
    const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
    int result =
        pcre2_match(code.get(), subject, text.size(), begin, PCRE2_NO_UTF_CHECK, data, context.get());
    if (result == PCRE2_ERROR_JIT_STACKLIMIT)  // the interpreter allocates its stack on the heap
      result = pcre2_match(code.get(), subject, text.size(), begin, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, data,
                           context.get());
    require(result >= 0 || result == PCRE2_ERROR_NOMATCH,
            "split pattern \"{}\": {} in the text after byte {}; a pattern of this kind is too slow to use",
            excerpt(rule.pattern), explain(result), begin);
    return result >= 0;
  }
};

Splitter::Splitter(const std::vector<SplitRule>& rules) {
  rules_.reserve(rules.size());
  for (const SplitRule& rule : rules) rules_.emplace_back(rule);
}
Splitter::~Splitter() = default;

void Splitter::split(std::string_view text, const std::function<void(std::string_view)>& piece) const {
  split(text, 0, piece);
}

void Splitter::split(std::string_view text, size_t rule,
                     const std::function<void(std::string_view)>& piece) const {
  if (text.empty()) return;
  if (rule == rules_.size()) return piece(text);
  const Rule& here = rules_[rule];
  const MatchData data(pcre2_match_data_create(1, nullptr));
  require(data != nullptr, "split pattern: out of memory");
  const PCRE2_SIZE* found = pcre2_get_ovector_pointer(data.get());
  for (size_t at = 0; at < text.size();) {
    size_t begin = text.size(), end = text.size();
    if (here.find(text, at, data.get())) begin = found[0], end = found[1];
    if (here.rule.keep != SplitRule::Keep::only_matches) split(text.substr(at, begin - at), rule + 1, piece);
    if (here.rule.keep != SplitRule::Keep::only_gaps) split(text.substr(begin, end - begin), rule + 1, piece);
    at = end;
  }
}

std::string translate_pattern(std::string_view pattern) {
  require(pattern.size() <= longest_pattern, "split pattern: it has {} bytes, expected at most {}",
          pattern.size(), longest_pattern);
  auto demand = [&](bool known, std::string_view construct) {
    require(known, "split pattern \"{}\": {} has other meanings in other programs and is not supported",
            excerpt(pattern), printable(construct));
  };
  std::string translated;
  bool in_set = false;
  for (size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    const std::string_view rest = pattern.substr(i + 1);
    if (c == '\\') {
      const size_t length = known_escape(rest);
      demand(length > 0, pattern.substr(i, 4));
      // PCRE2 still counts the Mongolian vowel separator as a space.
      if (rest[0] == 's' || rest[0] == 'S')
        translated += rest[0] == 's' ? "\\p{White_Space}" : "\\P{White_Space}";
      else
        translated += pattern.substr(i, 1 + length);
      i += length;
      continue;
    }
    if (in_set) {
      demand(c != '[', "[ in a set");
      demand(c != '&' || !rest.starts_with("&"), "&& in a set");
      if (c == ']') in_set = false;
    } else if (c == '[') {
      demand(!rest.starts_with("]") && !rest.starts_with("^]"), "a set that begins with ]");
      in_set = true;
    } else {
      demand(c != '^' && c != '$', pattern.substr(i, 1));
      demand(c != '(' || known_group(rest), pattern.substr(i, 3));
      demand(c != '{' || !rest.starts_with(","), "{,");
      demand(c != '}' || !rest.starts_with("+"), "}+");
    }
    translated += c;
  }
  return translated;
}

}  // namespace aviary
