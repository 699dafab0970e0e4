#include "data/corpus.h"

#include <algorithm>

#include "base/error.h"

namespace aviary {

std::optional<size_t> next_unit(std::string_view text) {
  for (const std::string_view mark : {"\n\n", "\n", " "})
    // A word begins with its space; a paragraph or a line ends with its line breaks.
    if (const size_t found = text.find(mark); found != text.npos)
      return found + (mark == " " ? 0 : mark.size());
  return {};
}

SplitText split_text(std::string_view text, int64_t validation_bytes) {
  constexpr int64_t most_validation = 200'000;
  int64_t size = static_cast<int64_t>(text.size());
  int64_t wanted = validation_bytes >= 0 ? validation_bytes : std::min(size / 10, most_validation);
  require(wanted < size,
          "the text has {} bytes, expected more than the {} that are kept for validation; give a longer "
          "text, or fewer "
          "--validation-bytes",
          size, wanted);
  if (wanted == 0) return {text, text.substr(text.size())};
  size_t cut = static_cast<size_t>(size - wanted);
  std::string_view window = text.substr(cut, static_cast<size_t>(wanted / 2));
  auto inside_character = [&](size_t at) {
    return at < text.size() && (static_cast<uint8_t>(text[at]) & 0xc0) == 0x80;
  };
  if (const std::optional<size_t> unit = next_unit(window))
    cut += *unit;
  else
    for (int i = 0; i < 3 && inside_character(cut); ++i) ++cut;
  return {text.substr(0, cut), text.substr(cut)};
}

Corpus::Corpus(const SplitText& text, const Tokenizer& tokenizer)
    : train_bytes(std::ssize(text.train)), validation_bytes(std::ssize(text.validation)) {
  tokenizer.encode(text.train, train);
  tokenizer.encode(text.validation, validation);
}

}  // namespace aviary
