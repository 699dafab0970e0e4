// The door for every text that is read from a file or from the standard input: one rule for what a text is.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/files.h"

namespace aviary {

// The result of checking a text.
struct TextReport {
  std::string_view text;                // without a byte order mark, otherwise unchanged
  int64_t invalid_bytes = 0;            // that are not valid UTF-8
  int64_t windows_line_ends = 0;        // \r\n; they are kept
  bool blank = false;                   // only white space
  std::vector<std::string> notes = {};  // one sentence for each irregularity that the user should know about
};

// Checks the bytes of the file `name`. Throws Error, saying what to do, if they are no text: empty, NUL
// bytes, more than a tenth control characters or invalid UTF-8, UTF-16 or UTF-32.
TextReport check_text(std::string_view bytes, const std::string& name);

// The bytes without a byte order mark of UTF-8. Throws Error for those of UTF-16 and UTF-32, saying how to
// convert them.
std::string_view without_mark(std::string_view bytes, const std::string& name);

// A sentence about a text that is learned as it stands, although it holds rows: JSON lines, or a table whose
// first lines have the same number of fields; empty for any other text.
std::string note_on_rows(std::string_view text, const std::string& name);

// The bytes of a file, unchecked; the view stays valid as long as the InputFile, also when it is moved.
class InputFile {
 public:
  // "-" is the standard input; pipes are read to their end (at most 4 GiB). Throws Error if the file cannot
  // be read.
  explicit InputFile(const std::filesystem::path& path);

  std::string_view bytes() const;
  // The path, or "the standard input".
  const std::string& name() const { return name_; }
  // Whether it came from the standard input or a pipe, and cannot be read again.
  bool is_stream() const { return stream_ != nullptr; }

 private:
  std::string name_;
  MappedFile file_;                            // or
  std::unique_ptr<const std::string> stream_;  // of a pipe or the standard input
};

// A checked text; the view stays valid as long as the TextFile, also when it is moved.
class TextFile {
 public:
  // Throws the errors of InputFile and check_text.
  explicit TextFile(const std::filesystem::path& path) : TextFile(InputFile(path)) {}
  explicit TextFile(InputFile input);

  std::string_view text() const { return report_.text; }
  const std::string& name() const { return input_.name(); }
  const TextReport& report() const { return report_; }
  // Throws Error if there is only white space, from which nothing can be learned.
  void require_words() const;
  bool is_stream() const { return input_.is_stream(); }

 private:
  InputFile input_;
  TextReport report_;
};

}  // namespace aviary
