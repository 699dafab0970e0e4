#include "data/text_pieces.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <limits>

#include "base/error.h"
#include "base/human.h"
#include "base/utf8.h"
#include "data/text_file.h"

namespace aviary {
namespace {

namespace fs = std::filesystem;

constexpr size_t piece_block = size_t{1} << 20;

bool hidden(const fs::path& path) { return path.filename().string().starts_with('.'); }

void add_folder(const fs::path& folder, std::vector<fs::path>& files) {
  const size_t before = files.size();
  for (auto at = fs::recursive_directory_iterator(folder); at != fs::recursive_directory_iterator(); ++at) {
    if (hidden(at->path())) {
      if (at->is_directory()) at.disable_recursion_pending();
    } else if (at->is_regular_file()) {
      files.push_back(at->path());
    }
  }
  std::sort(files.begin() + static_cast<int64_t>(before), files.end());
}

TextPiece::Kind kind_of_file(const fs::path& path) {
  const fs::path extension = without_compression(path).extension();
  if (extension == ".jsonl" || extension == ".ndjson") return TextPiece::Kind::row;
  return extension == ".npy" ? TextPiece::Kind::tokens : TextPiece::Kind::text;
}

// Where a text of more than `most` bytes is cut: after a line, else before a space, else between characters.
size_t cut_of(std::string_view text, size_t most) {
  const size_t line = text.substr(0, most).rfind('\n');
  if (line != text.npos && line > most / 2) return line + 1;
  const size_t space = text.substr(0, most).rfind(' ');
  if (space != text.npos && space > most / 2) return space;
  size_t cut = most;
  for (int i = 0; i < 3 && (static_cast<uint8_t>(text[cut]) & 0xc0) == 0x80; ++i) --cut;
  return cut;
}

}  // namespace

std::vector<fs::path> files_of(const std::vector<std::string>& paths) {
  std::vector<fs::path> files;
  for (const std::string& path : paths) {
    try {
      require(fs::exists(path), "{}: No such file or directory", path);
      if (fs::is_directory(path))
        add_folder(path, files);
      else
        files.emplace_back(path);
    } catch (const fs::filesystem_error& error) {
      fail("{}", sentence_of(error));
    }
  }
  require(!files.empty(), "{}: the folder has no files", paths.empty() ? "" : paths.front());
  return files;
}

PieceReader::PieceReader(std::vector<fs::path> files, PieceOptions options)
    : files_(std::move(files)), options_(std::move(options)) {}
PieceReader::~PieceReader() = default;

std::string PieceReader::where(const TextPiece& piece) const {
  const std::string name = files_[static_cast<size_t>(piece.file)].string();
  return piece.line > 0 ? fmt::format("{}:{}", name, piece.line) : name;
}

// Reads on until so many bytes wait, or the file ends; whether there are as many.
bool PieceReader::fill(size_t wanted) {
  while (!ended_ && buffer_.size() - at_ < wanted) {
    buffer_.erase(0, at_);
    at_ = 0;
    const size_t before = buffer_.size();
    buffer_.resize(before + piece_block);
    const size_t count = stream_->read(std::span(buffer_).subspan(before));
    buffer_.resize(before + count);
    ended_ = count == 0;
  }
  return buffer_.size() - at_ >= wanted;
}

void PieceReader::open() {
  const fs::path& path = files_[static_cast<size_t>(file_)];
  stream_ = open_stream(path);
  kind_ = kind_of_file(path);
  buffer_.clear();
  at_ = 0;
  ended_ = begun_ = false;
  line_ = 0;
  ++file_;
  fill(16);
  if (kind_ == TextPiece::Kind::tokens)
    read_npy_header();
  else if (!rest().empty())
    at_ += rest().size() - without_mark(rest(), path.string()).size();
}

bool PieceReader::next(TextPiece& piece) {
  while (true) {
    if (stream_ == nullptr) {
      if (file_ == static_cast<int32_t>(files_.size())) return false;
      open();
    }
    piece = {.kind = kind_, .bytes = {}, .file = file_ - 1};
    const bool found = kind_ == TextPiece::Kind::text  ? next_text(piece)
                       : kind_ == TextPiece::Kind::row ? next_row(piece)
                                                       : next_tokens(piece);
    if (found) return true;
    stream_ = nullptr;
  }
}

bool PieceReader::next_text(TextPiece& piece) {
  const std::string& separator = options_.separator;
  const auto most = static_cast<size_t>(options_.piece);
  fill(most + separator.size() + 4);
  if (rest().empty() && !begun_) return false;
  const size_t end =
      separator.empty() ? std::string::npos : rest().substr(0, most + separator.size()).find(separator);
  size_t taken = 0, skipped = 0;
  if (end != std::string::npos) {
    taken = end, skipped = separator.size();
  } else if (rest().size() > most) {
    taken = cut_of(rest(), most);
    piece.last = false;
  } else {
    taken = rest().size();
  }
  piece.bytes = rest().substr(0, taken);
  at_ += taken + skipped;
  begun_ = !piece.last;
  return true;
}

bool PieceReader::next_row(TextPiece& piece) {
  const auto most = static_cast<size_t>(options_.longest_row);
  while (true) {
    size_t known = 0, end = 0;
    while ((end = rest().find('\n', known)) == std::string::npos && rest().size() <= most) {
      known = rest().size();
      if (!fill(known + 1)) break;
    }
    require(std::min(end, rest().size()) <= most,
            "{}:{}: the line has more than {}, the most that a row may have",
            files_[static_cast<size_t>(file_ - 1)].string(), line_ + 1, human_bytes(options_.longest_row));
    if (rest().empty()) return false;
    const std::string_view line = rest().substr(0, end);
    piece.line = ++line_;
    piece.bytes = line;
    at_ += line.size() + (end == std::string::npos ? 0 : 1);
    if (piece.bytes.find_first_not_of(" \t\r") != std::string::npos) return true;
  }
}

// The header is a Python dict: {'descr': '<u2', 'fortran_order': False, 'shape': (1000,), }.
void PieceReader::read_npy_header() {
  const std::string name = files_[static_cast<size_t>(file_ - 1)].string();
  require(rest().starts_with("\x93NUMPY") && rest().size() >= 12, "{}: does not begin as an array of NumPy",
          name);
  const bool old = rest()[6] == 1;
  const size_t length_bytes = old ? 2 : 4;
  size_t length = 0;
  for (size_t i = 0; i < length_bytes; ++i) length |= size_t{static_cast<uint8_t>(rest()[8 + i])} << (8 * i);
  require(length <= 4096 && fill(8 + length_bytes + length), "{}: the header of the array is cut off", name);
  const std::string header(rest().substr(8 + length_bytes, length));
  at_ += 8 + length_bytes + length;
  const size_t type = header.find("'descr': '"), shape = header.find("'shape': (");
  require(type != header.npos && type + 13 <= header.size() && shape != header.npos,
          "{}: the header of the array has no type or shape", name);
  const std::string descr = header.substr(type + 10, 3);
  token_signed_ = descr[1] == 'i';
  token_bytes_ = descr[2] - '0';
  require((descr[0] == '<' || descr[0] == '|') && (descr[1] == 'u' || descr[1] == 'i') &&
              (token_bytes_ == 1 || token_bytes_ == 2 || token_bytes_ == 4 || token_bytes_ == 8),
          "{}: its numbers have the type {}, expected integers such as <u2 or <i4", name, descr);
  const char* begin = header.data() + shape + 10;
  const auto [after, error] = std::from_chars(begin, header.data() + header.size(), tokens_left_);
  const std::string_view rest_of_shape(after, static_cast<size_t>(header.data() + header.size() - after));
  require(error == std::errc() && tokens_left_ >= 0 &&
              (rest_of_shape.starts_with(",)") || rest_of_shape.starts_with(")")),
          "{}: its shape is not that of one row of tokens", name);
}

bool PieceReader::next_tokens(TextPiece& piece) {
  if (tokens_left_ == 0) return false;
  const int64_t count = std::min(tokens_left_, options_.piece / 8);
  const std::string name = files_[static_cast<size_t>(file_ - 1)].string();
  const auto width = static_cast<size_t>(token_bytes_);
  require(fill(static_cast<size_t>(count) * width), "{}: the array is cut off: {} more numbers are missing",
          name, tokens_left_ - static_cast<int64_t>(rest().size() / width));
  for (int64_t i = 0; i < count; ++i) {
    int64_t value = 0;
    for (size_t b = 0; b < width; ++b)
      value |= static_cast<int64_t>(static_cast<uint8_t>(rest()[static_cast<size_t>(i) * width + b]))
               << (8 * b);
    const bool negative = token_signed_ && width < 8 && (value >> (8 * width - 1) & 1) != 0;
    require(!negative && value >= 0 && value <= std::numeric_limits<int32_t>::max(),
            "{}: has a number that is no token, expected 0 to 2147483647", name);
    const auto token = static_cast<int32_t>(value);
    piece.bytes.append(reinterpret_cast<const char*>(&token), sizeof token);
  }
  at_ += static_cast<size_t>(count) * width;
  tokens_left_ -= count;
  piece.last = tokens_left_ == 0;
  return true;
}

}  // namespace aviary
