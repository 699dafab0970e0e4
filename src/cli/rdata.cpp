#include "cli/rdata.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <string_view>

#include "base/error.h"
#include "base/files.h"

namespace aviary {

namespace {

constexpr int64_t largest_chunk = int64_t{64} << 20;  // the longest novel has 1 MB
constexpr int64_t zlib_ratio = 1032;                  // the highest compression ratio of zlib

constexpr std::array<std::array<std::string_view, 2>, 6> titles = {
    {{"senseandsensibility", "sensesensibility"},
     {"prideandprejudice", "prideprejudice"},
     {"mansfieldpark", "mansfieldpark"},
     {"emma", "emma"},
     {"northangerabbey", "northangerabbey"},
     {"persuasion", "persuasion"}}};

// Reads big-endian numbers and bytes of a file or a part of it, never beyond its end.
class Reader {
 public:
  Reader(std::string_view bytes, std::string name) : rest_(bytes), name_(std::move(name)) {}

  std::string_view take(int64_t count, std::string_view what) {
    require(count >= 0 && count <= size(), "{}: it ends inside {}: {} bytes needed, {} left", name_, what,
            count, size());
    std::string_view part = rest_.substr(0, static_cast<size_t>(count));
    rest_.remove_prefix(static_cast<size_t>(count));
    return part;
  }
  int32_t number(std::string_view what) {
    uint32_t value = 0;
    for (char c : take(4, what)) value = value << 8 | static_cast<uint8_t>(c);
    return static_cast<int32_t>(value);
  }
  void expect(int32_t number_expected, std::string_view what) {
    int32_t got = number(what);
    require(got == number_expected, "{}: {} is {}, expected {}", name_, what, got, number_expected);
  }
  int64_t size() const { return static_cast<int64_t>(rest_.size()); }
  std::string_view rest() const { return rest_; }
  const std::string& name() const { return name_; }

 private:
  std::string_view rest_;
  std::string name_;
};

struct Inflater {
  z_stream stream{};
  Inflater() { require(inflateInit(&stream) == Z_OK, "zlib cannot be started"); }
  ~Inflater() { inflateEnd(&stream); }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;
};

std::string next_chunk(Reader& file) {
  int64_t size = file.number("the size of a chunk");
  require(size > 0 && size <= largest_chunk && size <= file.size() * zlib_ratio,
          "{}: a chunk is said to unpack to {} bytes, which {} bytes cannot hold", file.name(), size,
          file.size());
  std::string data(static_cast<size_t>(size), '\0');
  Inflater inflater;
  z_stream& stream = inflater.stream;
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(file.rest().data()));
  // Only a file that is not the package's can exceed a zlib counter; what follows the counted part is then
  // rejected below.
  stream.avail_in = static_cast<uInt>(std::min<int64_t>(file.size(), int64_t{1} << 30));
  stream.next_out = reinterpret_cast<Bytef*>(data.data());
  stream.avail_out = static_cast<uInt>(data.size());
  int64_t before = stream.avail_in;
  int result = inflate(&stream, Z_FINISH);
  require(
      result == Z_STREAM_END && stream.avail_out == 0,
      "{}: a chunk does not unpack to the {} bytes it promises; the file is damaged or of another package",
      file.name(), size);
  file.take(before - stream.avail_in, "a chunk");
  return data;
}

// R's serialization, format 3 in XDR ("X\n"), of one character vector without attributes.
std::vector<std::string> read_lines(Reader in) {
  constexpr int32_t character_vector = 16, string_type = 9, encodings = 0x8000 | 0x40000;  // UTF-8, ASCII
  require(in.take(2, "the format") == "X\n", "{}: the data is not R's XDR serialization", in.name());
  in.expect(3, "the version of the serialization");
  in.number("the version of R");
  in.number("the oldest version of R");
  int32_t encoding = in.number("the length of the encoding's name");
  in.take(encoding, "the encoding's name");
  in.expect(character_vector, "the type of the data");
  int64_t count = in.number("the number of lines");
  require(count >= 0 && count <= in.size() / 8, "{}: {} lines cannot be in {} bytes", in.name(), count,
          in.size());
  std::vector<std::string> lines;
  lines.reserve(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) {
    int32_t type = in.number("the type of a line");
    require((type & 0xff) == string_type && (type & encodings) != 0,
            "{}: line {} is of type {:#x}, expected a string in ASCII or UTF-8", in.name(), i + 1, type);
    int32_t length = in.number("the length of a line");
    lines.emplace_back(in.take(length, "a line"));
  }
  require(in.size() == 0, "{}: {} bytes are left behind the last line", in.name(), in.size());
  return lines;
}

// "Sense and Sensibility" -> "senseandsensibility"
std::string title_of(const std::vector<std::string>& lines) {
  for (const std::string& line : lines) {
    std::string letters;
    for (char c : line) {
      if (c >= 'A' && c <= 'Z') letters += static_cast<char>(c - 'A' + 'a');
      if (c >= 'a' && c <= 'z') letters += c;
    }
    if (!line.empty()) return letters;
  }
  return "";
}

}  // namespace

std::vector<Novel> read_novels(const std::filesystem::path& path) {
  MappedFile mapped(path);
  Reader file({reinterpret_cast<const char*>(mapped.bytes().data()), mapped.bytes().size()}, path.string());
  std::vector<Novel> novels(titles.size());
  while (file.size() > 0) {
    std::string chunk = next_chunk(file);
    std::vector<std::string> lines = read_lines(Reader(chunk, file.name()));
    std::string title = title_of(lines);
    size_t which = 0;
    while (which < titles.size() && titles[which][0] != title) ++which;
    require(which < titles.size(), "{}: a text begins with \"{}\", which is none of the six novels' titles",
            file.name(), title.substr(0, 40));
    require(novels[which].name.empty(), "{}: it holds {} twice", file.name(), titles[which][1]);
    novels[which] = {std::string(titles[which][1]), std::move(lines)};
  }
  for (size_t i = 0; i < titles.size(); ++i)
    require(!novels[i].name.empty(), "{}: {} is missing, expected all six novels", file.name(), titles[i][1]);
  return novels;
}

std::string unwrap(std::span<const std::string> lines) {
  constexpr std::string_view blanks = " \t\r\n\v\f";
  std::string text;
  bool in_paragraph = false;
  auto end_paragraph = [&] {
    if (in_paragraph) text += "\n\n";
    in_paragraph = false;
  };
  for (std::string_view line : lines) {
    size_t begin = line.find_first_not_of(blanks);
    if (begin == std::string_view::npos) {
      end_paragraph();
      continue;
    }
    bool space = in_paragraph && !text.ends_with("--");
    for (char c : line.substr(begin, line.find_last_not_of(blanks) + 1 - begin)) {
      if (blanks.find(c) != std::string_view::npos) {
        space = true;
        continue;
      }
      if (space) text += ' ';
      space = false;
      text += c;
    }
    in_paragraph = true;
  }
  end_paragraph();
  return text;
}

}  // namespace aviary
