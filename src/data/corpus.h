// A text file as training data: looked at, split, turned into tokens.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/files.h"
#include "text/tokenizer.h"

namespace aviary {

// What a text is found to be before anybody trains on it.
struct TextReport {
  std::string_view text;                // without a byte order mark, else as it came
  int64_t invalid_bytes = 0;            // that are no UTF-8
  int64_t windows_line_ends = 0;        // \r\n; they are kept
  std::vector<std::string> notes = {};  // one sentence for each oddity that a user may want to know of
};

// Looks at the bytes of `name`. Throws Error, saying what to do, for what is no text to train on: nothing or
// only spaces, NUL bytes, more than a tenth of control characters or of bytes that are no UTF-8, UTF-16 and
// UTF-32.
TextReport check_text(std::string_view bytes, const std::string& name);

// A checked text in a file; the view stays valid as long as the TextFile.
class TextFile {
 public:
  explicit TextFile(const std::filesystem::path& path);
  std::string_view text() const { return report_.text; }
  const TextReport& report() const { return report_; }

 private:
  MappedFile file_;
  TextReport report_;
};

struct SplitText {
  std::string_view train, validation;
};

// Cuts off the end of a text for validation: `validation_bytes` (0: nothing), or, when negative, a tenth of
// the text but not more than 200,000 bytes. The cut moves forward by at most half of the validation text to
// the next paragraph ("\n\n"), or else line, or else word, or else character, so that training never sees a
// part of it. Throws Error when that leaves nothing to train on.
SplitText split_text(std::string_view text, int64_t validation_bytes = -1);

// A text as tokens, ready to train on.
struct Corpus {
  std::vector<int32_t> train, validation;
  int64_t train_bytes = 0, validation_bytes = 0;

  Corpus(const SplitText& text, const Tokenizer& tokenizer);
  // The text as split_text() splits it.
  Corpus(std::string_view text, const Tokenizer& tokenizer, int64_t validation_bytes = -1)
      : Corpus(split_text(text, validation_bytes), tokenizer) {}
};

}  // namespace aviary
