// A text file as training data: checked, split, converted to tokens.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/files.h"
#include "text/tokenizer.h"

namespace aviary {

// The result of checking a text before training on it.
struct TextReport {
  std::string_view text;                // without a byte order mark, otherwise unchanged
  int64_t invalid_bytes = 0;            // that are not valid UTF-8
  int64_t windows_line_ends = 0;        // \r\n; they are kept
  std::vector<std::string> notes = {};  // one sentence for each irregularity that the user should know about
};

// Checks the bytes of the file `name`. Throws Error, saying what to do, if the text cannot be trained on:
// empty or only white space, NUL bytes, more than a tenth control characters or invalid UTF-8, UTF-16 or
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

// Splits off the end of a text for validation: `validation_bytes` (0: nothing) or, if negative, a tenth of
// the text but at most 200,000 bytes. The split is moved forward, by at most half of the validation text, to
// the next paragraph ("\n\n"), or else line, word or character, so that no unit is divided between training
// and validation. Throws Error if nothing is left to train on.
SplitText split_text(std::string_view text, int64_t validation_bytes = -1);

// A text as tokens, ready for training.
struct Corpus {
  std::vector<int32_t> train, validation;
  int64_t train_bytes = 0, validation_bytes = 0;

  Corpus(const SplitText& text, const Tokenizer& tokenizer);
  // The text as split_text() splits it.
  Corpus(std::string_view text, const Tokenizer& tokenizer, int64_t validation_bytes = -1)
      : Corpus(split_text(text, validation_bytes), tokenizer) {}
};

}  // namespace aviary
