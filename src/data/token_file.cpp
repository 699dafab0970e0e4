#include "data/token_file.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <numeric>

#include "base/error.h"

namespace aviary {
namespace {

constexpr std::string_view magic("MMIDIDX\0\0", 9);
constexpr size_t header_bytes = 9 + 8 + 1 + 8 + 8;
constexpr size_t buffered = size_t{4} << 20;

template <typename T>
T number_at(std::span<const std::byte> bytes, size_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

template <typename T>
void put(std::vector<std::byte>& bytes, T value) {
  const auto* begin = reinterpret_cast<const std::byte*>(&value);
  bytes.insert(bytes.end(), begin, begin + sizeof value);
}

}  // namespace

TokenPaths::TokenPaths(const std::filesystem::path& path) : bin(path), idx(path) {
  const bool named = path.extension() == ".bin" || path.extension() == ".idx";
  if (named) {
    bin.replace_extension(".bin");
    idx.replace_extension(".idx");
  } else {
    bin += ".bin";
    idx += ".idx";
  }
}

bool names_token_file(const std::filesystem::path& path) {
  if (path.extension() != ".bin" && path.extension() != ".idx") return false;
  const TokenPaths paths(path);
  std::error_code ignored;
  return std::filesystem::is_regular_file(paths.bin, ignored) &&
         std::filesystem::is_regular_file(paths.idx, ignored);
}

TokenFile::TokenFile(const std::filesystem::path& path) : paths_(path), bin_(paths_.bin), idx_(paths_.idx) {
  read_index();
}

void TokenFile::read_index() {
  const std::string name = paths_.idx.string();
  const std::span<const std::byte> bytes = idx_.bytes();
  require(bytes.size() >= header_bytes && std::memcmp(bytes.data(), magic.data(), magic.size()) == 0,
          "{}: does not begin as the index of a .bin of tokens (MMIDIDX)", name);
  require(number_at<uint64_t>(bytes, 9) == 1, "{}: has version {}, expected 1", name,
          number_at<uint64_t>(bytes, 9));
  const auto code = std::to_integer<uint8_t>(bytes[17]);
  require(code == 8 || code == 4, "{}: its tokens have type {}, expected 8 (uint16) or 4 (int32)", name,
          code);
  type_ = static_cast<TokenType>(code);
  const auto sequences = number_at<uint64_t>(bytes, 18), entries = number_at<uint64_t>(bytes, 26);
  // The division keeps sizes that no file can have from wrapping around.
  require(sequences <= bytes.size() / 12 && entries <= bytes.size() / 8 &&
              bytes.size() == header_bytes + 12 * sequences + 8 * entries,
          "{}: names {} sequences and {} document entries, which {} bytes cannot hold; is the file cut off?",
          name, sequences, entries, bytes.size());
  const int64_t width = bytes_of(type_), bin_bytes = std::ssize(bin_.bytes());
  require(bin_bytes % width == 0, "{}: has {} bytes, expected a multiple of {}; is the file cut off?",
          paths_.bin.string(), bin_bytes, width);
  flat_tokens_ = bin_bytes / width;
  for (size_t i = 0; i < sequences; ++i) {
    const auto size = number_at<int32_t>(bytes, header_bytes + 4 * i);
    const auto start = number_at<int64_t>(bytes, header_bytes + 4 * sequences + 8 * i);
    require(size > 0, "{}: sequence {} has {} tokens, expected at least 1", name, i, size);
    require(start >= 0 && start % width == 0 && start / width <= flat_tokens_ - size,
            "{}: sequence {} lies at byte {} with {} tokens, but {} has {} bytes; is that file cut off?",
            name, i, start, size, paths_.bin.string(), bin_bytes);
    sizes_.push_back(size);
    starts_.push_back(start / width);
    tokens_ += size;
  }
}

TokenSpan TokenFile::flat() const {
  const auto count = static_cast<size_t>(flat_tokens_);
  const std::byte* data = bin_.bytes().data();  // of whole pages
  if (type_ == TokenType::int32) return std::span(reinterpret_cast<const int32_t*>(data), count);
  return TokenSpan(std::span(reinterpret_cast<const uint16_t*>(data), count));
}

void TokenFile::read(int64_t document, int64_t from, int64_t count, std::vector<int32_t>& tokens) const {
  require(
      document >= 0 && document < documents() && from >= 0 && count >= 0 && from + count <= size_of(document),
      "{}: there are no tokens {} to {} of document {}", name(), from, from + count, document);
  const TokenSpan part = flat().part(start_of(document) + from, count);
  for (int64_t i = 0; i < count; ++i) tokens.push_back(part[i]);
}

int32_t TokenFile::largest_token() const {
  int32_t largest = 0;
  const TokenSpan all = flat();
  for (int64_t i = 0; i < flat_tokens_; ++i) {
    const int32_t token = all[i];
    require(token >= 0, "{}: token {} is {}, expected 0 or more", name(), i, token);
    largest = std::max(largest, token);
  }
  return largest;
}

TokenFileWriter::TokenFileWriter(const std::filesystem::path& path, TokenType type)
    : paths_(path), type_(type), bin_(paths_.bin), idx_(paths_.idx) {}

void TokenFileWriter::add(std::span<const std::byte> tokens) {
  const int64_t count = std::ssize(tokens) / bytes_of(type_);
  require(count > 0 && count <= std::numeric_limits<int32_t>::max(),
          "{}: a document has {} tokens, expected 1 to 2147483647", paths_.bin.string(), count);
  sizes_.push_back(static_cast<int32_t>(count));
  buffer_.insert(buffer_.end(), tokens.begin(), tokens.end());
  if (buffer_.size() < buffered) return;
  bin_.write(buffer_);
  buffer_.clear();
}

void TokenFileWriter::commit() {
  bin_.write(buffer_);
  std::vector<std::byte> index;
  for (const char c : magic) index.push_back(static_cast<std::byte>(c));
  put<uint64_t>(index, 1);
  index.push_back(static_cast<std::byte>(type_));
  put<uint64_t>(index, sizes_.size());
  put<uint64_t>(index, sizes_.size() + 1);
  for (const int32_t size : sizes_) put(index, size);
  int64_t start = 0;
  for (const int32_t size : sizes_) {
    put(index, start);
    start += size * bytes_of(type_);
  }
  for (int64_t i = 0; i <= std::ssize(sizes_); ++i) put(index, i);
  idx_.write(index);
  bin_.commit();
  idx_.commit();
}

void append_tokens(std::span<const int32_t> tokens, TokenType type, std::vector<std::byte>& bytes) {
  const size_t at = bytes.size(), width = static_cast<size_t>(bytes_of(type));
  bytes.resize(at + tokens.size() * width);
  std::byte* to = bytes.data() + at;
  if (type == TokenType::int32) {
    if (!tokens.empty()) std::memcpy(to, tokens.data(), tokens.size() * width);
    return;
  }
  for (const int32_t token : tokens) {
    require(token >= 0 && token <= 65535, "token {} cannot be written as uint16, expected 0 to 65535", token);
    const auto value = static_cast<uint16_t>(token);
    std::memcpy(to, &value, sizeof value);
    to += sizeof value;
  }
}

}  // namespace aviary
