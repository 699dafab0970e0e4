#include "formats/gguf_contents.h"

#include "base/error.h"
#include "base/files.h"

namespace aviary::gguf {

void KeyWriter::text(std::string_view key, std::string_view value) {
  begin(key, ValueType::string);
  string(value);
}

void KeyWriter::number(std::string_view key, int64_t value) {
  begin(key, ValueType::u32);
  raw(static_cast<uint32_t>(value));
}

void KeyWriter::number(std::string_view key, float value) {
  begin(key, ValueType::f32);
  raw(value);
}

void KeyWriter::tokens(std::span<const Token> tokens) {
  begin_array("tokenizer.ggml.tokens", ValueType::string, tokens.size());
  for (const Token& token : tokens) string(token.text);
  begin_array("tokenizer.ggml.token_type", ValueType::i32, tokens.size());
  for (const Token& token : tokens) raw(token.type);
}

void KeyWriter::string(std::string_view text) {
  raw(uint64_t{text.size()});
  bytes_ += text;
}

void KeyWriter::begin(std::string_view key, ValueType type) {
  string(key);
  raw(type);
  ++count_;
}

void KeyWriter::begin_array(std::string_view key, ValueType type, size_t size) {
  begin(key, ValueType::array);
  raw(type);
  raw(uint64_t{size});
}

namespace {

uint64_t bytes_of(const Piece& piece, const std::string& where) {
  return static_cast<uint64_t>(expected_bytes({piece.name, piece.type, piece.shape, {}}, where));
}

// The descriptions of the tensors.
std::string describe(std::span<const Piece> pieces, const std::string& where) {
  std::string text;
  auto raw = [&](auto value) { text.append(reinterpret_cast<const char*>(&value), sizeof(value)); };
  uint64_t offset = 0;
  for (const Piece& piece : pieces) {
    const TensorType* type = find_tensor_type(piece.type);
    require(type != nullptr, "{}: tensor {} would be stored as {}, which GGUF does not have", where,
            in_quotes(piece.name), name_of(piece.type));
    require(piece.shape.size() <= max_rank, "{}: tensor {} has {} dimensions, GGUF allows {}", where,
            in_quotes(piece.name), piece.shape.size(), max_rank);
    raw(uint64_t{piece.name.size()});
    text += piece.name;
    raw(static_cast<uint32_t>(piece.shape.size()));
    for (size_t i = piece.shape.size(); i-- > 0;) raw(static_cast<uint64_t>(piece.shape[i]));
    raw(type->id);
    raw(offset);
    offset = align_up(offset + bytes_of(piece, where), default_alignment);
  }
  return text;
}

// Bytes until the next multiple of the alignment.
uint64_t padding_after(uint64_t position) { return align_up(position, default_alignment) - position; }

void write_padding(AtomicFile& file, uint64_t position) {
  const std::string zeros(padding_after(position), '\0');
  if (!zeros.empty()) file.write(zeros);
}

}  // namespace

Contents contents_of(const KeyWriter& keys, std::vector<Piece> pieces, const std::string& where) {
  Contents contents{std::string(magic), std::move(pieces)};
  std::string& head = contents.head;
  auto raw = [&](auto value) { head.append(reinterpret_cast<const char*>(&value), sizeof(value)); };
  raw(newest_version);
  raw(uint64_t{contents.pieces.size()});
  raw(keys.count());
  head += keys.bytes();
  head += describe(contents.pieces, where);
  return contents;
}

int64_t bytes_of(const Contents& contents, const std::string& where) {
  uint64_t bytes = align_up(contents.head.size(), default_alignment);
  for (const Piece& piece : contents.pieces) bytes += align_up(bytes_of(piece, where), default_alignment);
  return static_cast<int64_t>(bytes);
}

void write(const std::filesystem::path& path, const Contents& contents, const WriteProgress& progress) {
  const std::string where = path.string();
  int64_t total = 0;  // without padding
  for (const Piece& piece : contents.pieces) total += static_cast<int64_t>(bytes_of(piece, where));
  AtomicFile file(path);
  file.write(contents.head);
  write_padding(file, contents.head.size());
  WriteCounter counter(progress, total);
  for (const Piece& piece : contents.pieces) {
    TensorTable scratch;
    const StoredTensor stored = piece.make(scratch);
    write_stored(stored, [&](std::span<const std::byte> bytes) {
      file.write(bytes);
      counter.add(bytes);
    });
    write_padding(file, bytes_of(piece, where));
  }
  file.commit();
}

}  // namespace aviary::gguf
