#include "grammar/grammar.h"

#include "base/random.h"
#include "fuzz.h"
#include "grammar/matcher.h"

namespace {

using namespace aviary;

// The first byte chooses the language, the rest is the grammar. A text that it allows is followed at random.
Grammar::Ptr compile(uint8_t language, std::string_view text) {
  switch (language % 4) {
    case 0:
      return Grammar::from_json_schema_text(text);
    case 1:
      return Grammar::from_regex(text);
    case 2:
      return Grammar::from_gbnf(text);
    default:
      return Grammar::from_json_schema_text(text, {.white_space = WhiteSpace::free, .draft = Draft::draft7});
  }
}

void follow(const Grammar::Ptr& grammar) {
  Matcher matcher(grammar);
  Random random(1);
  for (int i = 0; i < 300; ++i) {
    const std::string forced = matcher.forced(64);
    if (!forced.empty()) {
      fuzz::expect(!matcher.may_end(), "a text that may end has no forced byte");
      Matcher copy = matcher;
      fuzz::expect(copy.accept(forced), "forced bytes are allowed");
    }
    const auto first = static_cast<int>(random.below(256));
    int found = -1;
    for (int offset = 0; offset < 256 && found < 0; ++offset) {
      Matcher copy = matcher;
      if (copy.accept(static_cast<uint8_t>(first + offset))) found = (first + offset) & 255;
    }
    if (found < 0) {
      fuzz::expect(matcher.may_end(), "where nothing can follow, the text may end");
      return;
    }
    if (!forced.empty())
      fuzz::expect(found == static_cast<uint8_t>(forced.front()), "only the forced byte is allowed");
    matcher.accept(static_cast<uint8_t>(found));
  }
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view text = fuzz::as_text(data, size).substr(1);
  Grammar::Ptr grammar;
  fuzz::refuse_or([&] { grammar = compile(data[0], text); });
  if (grammar) fuzz::refuse_or([&] { follow(grammar); });
  return 0;
}
