#include "data/corpus.h"

#include <algorithm>

#include "base/error.h"
#include "text/utf8.h"

namespace aviary {

namespace {

struct Counts {
  int64_t nul = -1;  // position of the first one
  int64_t control = 0, blank = 0, windows_line_ends = 0;
};

Counts count_bytes(std::string_view text) {
  Counts counts;
  for (size_t i = 0; i < text.size(); ++i) {
    uint8_t byte = static_cast<uint8_t>(text[i]);
    if (byte > 0x20 && byte != 0x7f) continue;
    bool blank = byte == ' ' || (byte >= '\t' && byte <= '\r');
    if (blank)
      ++counts.blank;
    else if (byte != 0x1b)
      ++counts.control;  // escape: terminal logs are text
    if (byte == 0 && counts.nul < 0) counts.nul = static_cast<int64_t>(i);
    if (byte == '\n' && i > 0 && text[i - 1] == '\r') ++counts.windows_line_ends;
  }
  return counts;
}

void refuse_wide_encodings(std::string_view bytes, const std::string& name) {
  using namespace std::string_view_literals;
  const char* encoding = nullptr;
  if (bytes.starts_with("\xff\xfe\0\0"sv) || bytes.starts_with("\0\0\xfe\xff"sv))
    encoding = "UTF-32";
  else if (bytes.starts_with("\xff\xfe"sv) || bytes.starts_with("\xfe\xff"sv))
    encoding = "UTF-16";
  if (encoding != nullptr)
    fail("{}: the text is encoded as {}, expected UTF-8; convert it with: iconv -f {} -t UTF-8", name,
         encoding, encoding);
}

double percent(int64_t part, size_t whole) {
  return 100.0 * static_cast<double>(part) / static_cast<double>(whole);
}

}  // namespace

TextReport check_text(std::string_view bytes, const std::string& name) {
  constexpr double most_strange = 10;  // percent
  require(!bytes.empty(), "{}: the file is empty, expected text", name);
  refuse_wide_encodings(bytes, name);
  TextReport report{.text = bytes};
  if (bytes.starts_with("\xef\xbb\xbf")) {
    report.text.remove_prefix(3);
    report.notes.push_back("the text begins with a byte order mark, which is left out");
  }
  Counts counts = count_bytes(report.text);
  require(counts.blank < static_cast<int64_t>(report.text.size()),
          "{}: the file contains only spaces and line breaks", name);
  require(counts.nul < 0,
          "{}: byte {} is NUL, so this is a binary file, not a text (or UTF-16 without a mark)", name,
          counts.nul);
  double control = percent(counts.control, report.text.size());
  require(control <= most_strange,
          "{}: {:.0f} % of the bytes are control characters, so this is a binary file, not a text", name,
          control);
  report.invalid_bytes = count_invalid_utf8(report.text);
  double invalid = percent(report.invalid_bytes, report.text.size());
  require(invalid <= most_strange,
          "{}: {:.0f} % of the bytes are not valid UTF-8; convert the text from its encoding, for example "
          "with: iconv -f WINDOWS-1252 -t UTF-8",
          name, invalid);
  if (report.invalid_bytes > 0)
    report.notes.push_back(fmt::format("{} bytes ({:.2g} %) are not valid UTF-8 and are trained on unchanged",
                                       report.invalid_bytes, invalid));
  report.windows_line_ends = counts.windows_line_ends;
  if (counts.windows_line_ends > 0)
    report.notes.push_back(
        fmt::format("{} lines end in the Windows way (CR LF) and are kept so, which costs the model a "
                    "little; tr -d '\\r' removes it",
                    counts.windows_line_ends));
  return report;
}

TextFile::TextFile(const std::filesystem::path& path) : file_(path) {
  auto bytes = file_.bytes();
  report_ = check_text({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, path.string());
}

SplitText split_text(std::string_view text, int64_t validation_bytes) {
  constexpr int64_t most_validation = 200'000;
  int64_t size = static_cast<int64_t>(text.size());
  int64_t wanted = validation_bytes >= 0 ? validation_bytes : std::min(size / 10, most_validation);
  require(wanted < size,
          "the text has {} bytes, of which {} are to be kept for validation: nothing is left to train on",
          size, wanted);
  if (wanted == 0) return {text, text.substr(text.size())};
  size_t cut = static_cast<size_t>(size - wanted);
  std::string_view window = text.substr(cut, static_cast<size_t>(wanted / 2));
  auto inside_character = [&](size_t at) {
    return at < text.size() && (static_cast<uint8_t>(text[at]) & 0xc0) == 0x80;
  };
  size_t found = std::string_view::npos;
  for (std::string_view mark : {"\n\n", "\n", " "}) {
    found = window.find(mark);
    if (found == std::string_view::npos) continue;
    // A word begins with its space; a paragraph or a line ends with its line breaks.
    cut += found + (mark == " " ? 0 : mark.size());
    break;
  }
  if (found == std::string_view::npos)
    for (int i = 0; i < 3 && inside_character(cut); ++i) ++cut;
  return {text.substr(0, cut), text.substr(cut)};
}

Corpus::Corpus(const SplitText& text, const Tokenizer& tokenizer)
    : train_bytes(std::ssize(text.train)), validation_bytes(std::ssize(text.validation)) {
  tokenizer.encode(text.train, train);
  tokenizer.encode(text.validation, validation);
}

}  // namespace aviary
