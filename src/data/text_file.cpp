#include "data/text_file.h"

#include <algorithm>
#include <utility>

#include "base/download.h"
#include "base/error.h"
#include "base/utf8.h"
#include "data/rows.h"

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

std::string_view without_mark(std::string_view bytes, const std::string& name) {
  refuse_wide_encodings(bytes, name);
  require(!is_lfs_pointer(bytes), "{}: the file is {}", name, failed_download(bytes));
  if (bytes.starts_with("\xef\xbb\xbf")) bytes.remove_prefix(3);
  return bytes;
}

TextReport check_text(std::string_view bytes, const std::string& name) {
  constexpr double most_strange = 10;  // percent
  TextReport report{.text = without_mark(bytes, name)};
  if (report.text.size() < bytes.size())
    report.notes.push_back("the text begins with a byte order mark, which is left out");
  require(!report.text.empty(), "{}: it is empty, expected text", name);
  Counts counts = count_bytes(report.text);
  report.blank = counts.blank == std::ssize(report.text);
  require(counts.nul < 0,
          "{}: byte {} is NUL, so this is a binary file, not a text (or UTF-16 or UTF-32 without a mark)",
          name, counts.nul);
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
    report.notes.push_back(fmt::format("{} bytes ({:.2g} %) are not valid UTF-8 and are kept unchanged",
                                       report.invalid_bytes, invalid));
  report.windows_line_ends = counts.windows_line_ends;
  if (counts.windows_line_ends > 0)
    report.notes.push_back(
        fmt::format("{} lines end in the Windows way (CR LF) and are kept so, which costs the model a "
                    "little; tr -d '\\r' removes it",
                    counts.windows_line_ends));
  return report;
}

namespace {

// The separators of a line outside of "...", so that a field may contain one.
int64_t count_separators(std::string_view line, char separator) {
  bool quoted = false;
  return std::ranges::count_if(line, [&](char c) {
    if (c == '"') quoted = !quoted;
    return c == separator && !quoted;
  });
}

// Whether the first lines, at least `enough` of them, have equally many separators, at least `fewest`.
bool looks_like_table(std::string_view text, char separator, int64_t fewest, int enough) {
  constexpr int most = 20;             // lines
  constexpr size_t longest = 1 << 16;  // bytes of a line
  int lines = 0;
  for (int64_t expected = -1; lines < most && !text.empty();) {
    const size_t end = text.substr(0, longest).find('\n');
    if (end == text.npos) break;  // a line that is cut off, or no line of a table
    const int64_t found = count_separators(text.substr(0, end), separator);
    text.remove_prefix(end + 1);
    if (expected < 0) expected = found;
    if (found != expected || found < fewest) return false;
    ++lines;
  }
  return lines >= enough;
}

// In a text, two parts between commas in every line may be chance.
bool looks_like_table(std::string_view text, const std::string& name) {
  const bool is_named = name.ends_with(".csv") || name.ends_with(".tsv");
  const int enough = is_named ? 2 : 5;
  return looks_like_table(text, ',', is_named ? 1 : 2, enough) ||
         looks_like_table(text, ';', is_named ? 1 : 2, enough) || looks_like_table(text, '\t', 1, enough);
}

bool looks_like_json_lines(std::string_view text, const std::string& name) {
  try {
    return holds_rows(text, name);
  } catch (const Error&) {  // an array of rows, or rows on several lines
    return true;
  }
}

}  // namespace

std::string note_on_rows(std::string_view text, const std::string& name) {
  const char* rows = nullptr;
  if (looks_like_json_lines(text, name))
    rows = "JSON, learned as text, with its keys and quotes";
  else if (looks_like_table(text, name))
    rows = "a table, learned as text, with its separators";
  return rows ? fmt::format("{}: {}; aviary tune learns from rows of JSON lines (docs/texts.md)", name, rows)
              : "";
}

InputFile::InputFile(const std::filesystem::path& path)
    : name_(path == "-" ? "the standard input" : path.string()) {
  constexpr int64_t largest_stream = int64_t{4} << 30;  // it is read into memory
  std::error_code ignored;
  const bool in_place = path != "-" && (!std::filesystem::exists(path, ignored) ||
                                        std::filesystem::is_regular_file(path, ignored));
  if (in_place)
    file_ = MappedFile(path);
  else
    stream_ = std::make_unique<const std::string>(read_input(path, largest_stream));
}

std::string_view InputFile::bytes() const {
  if (stream_) return *stream_;
  return {reinterpret_cast<const char*>(file_.bytes().data()), file_.bytes().size()};
}

TextFile::TextFile(InputFile input)
    : input_(std::move(input)), report_(check_text(input_.bytes(), input_.name())) {}

void TextFile::require_words() const {
  require(!report_.blank, "{}: the text contains only spaces and line breaks", name());
}

}  // namespace aviary
