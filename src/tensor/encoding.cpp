#include "tensor/encoding.h"

#include <type_traits>
#include <vector>

#include "base/error.h"
#include "base/threads.h"
#include "tensor/blocks.h"

namespace aviary {
namespace {

template <typename Stored, typename Number>
void decode_as(const std::byte* data, std::span<Number> values) {
  for (size_t i = 0; i < values.size(); ++i) {
    Stored stored;
    std::memcpy(&stored, data + i * sizeof(Stored), sizeof(Stored));
    if constexpr (std::is_arithmetic_v<Stored>)
      values[i] = static_cast<Number>(stored);
    else
      values[i] = static_cast<Number>(to_float(stored));
  }
}

template <typename Number>
void decode_plain(Dtype type, const std::byte* data, std::span<Number> values) {
  switch (type) {
    case Dtype::f32:
      return decode_as<float>(data, values);
    case Dtype::f64:
      return decode_as<double>(data, values);
    case Dtype::f16:
      return decode_as<f16>(data, values);
    case Dtype::bf16:
      return decode_as<bf16>(data, values);
    case Dtype::i8:
      return decode_as<int8_t>(data, values);
    case Dtype::u8:
      return decode_as<uint8_t>(data, values);
    case Dtype::i16:
      return decode_as<int16_t>(data, values);
    case Dtype::i32:
      return decode_as<int32_t>(data, values);
    case Dtype::i64:
      return decode_as<int64_t>(data, values);
    default:
      for (size_t i = 0; i < values.size(); ++i) values[i] = data[i] == std::byte{0} ? Number{0} : Number{1};
  }
}

template <typename Stored, typename Convert>
void encode_as(std::span<const float> values, std::byte* data, Convert convert) {
  for (size_t i = 0; i < values.size(); ++i) {
    const Stored stored = convert(values[i]);
    std::memcpy(data + i * sizeof(Stored), &stored, sizeof(Stored));
  }
}

void decode_part(Dtype type, const std::byte* data, std::span<float> values) {
  if (is_quantized(type)) return decode_blocks(type, data, values);
  decode_plain(type, data, values);
}

void decode_part(Dtype type, const std::byte* data, std::span<double> values) {
  if (!is_quantized(type)) return decode_plain(type, data, values);
  std::vector<float> block(static_cast<size_t>(block_of(type).elements));
  for (size_t i = 0; i < values.size(); i += block.size(), data += block_of(type).bytes) {
    decode_blocks(type, data, block);
    for (size_t j = 0; j < block.size(); ++j) values[i + j] = static_cast<double>(block[j]);
  }
}

void encode_part(std::span<const float> values, Dtype type, std::byte* data) {
  switch (type) {
    case Dtype::f32:
      return encode_as<float>(values, data, [](float x) { return x; });
    case Dtype::f64:
      return encode_as<double>(values, data, [](float x) { return static_cast<double>(x); });
    case Dtype::f16:
      return encode_as<f16>(values, data, [](float x) { return to_f16(x); });
    case Dtype::bf16:
      return encode_as<bf16>(values, data, [](float x) { return to_bf16(x); });
    default:
      require(is_quantized(type), "numbers cannot be stored as {}, expected a type of real numbers",
              name_of(type));
      encode_blocks(values, type, data);
  }
}

// Calls part(offset in bytes, numbers) for contiguous parts of whole blocks, on all cores.
template <typename Number, typename Part>
void in_parts(Dtype type, std::span<Number> values, Part part) {
  const Block block = block_of(type);
  const int64_t blocks = std::ssize(values) / block.elements;
  parallel_for(blocks, (1 << 14) / block.elements, [&](int64_t begin, int64_t end) {
    part(begin * block.bytes, values.subspan(static_cast<size_t>(begin * block.elements),
                                             static_cast<size_t>((end - begin) * block.elements)));
  });
}

}  // namespace

void decode(Dtype type, const std::byte* data, std::span<float> values) {
  in_parts(type, values, [&](int64_t at, std::span<float> part) { decode_part(type, data + at, part); });
}

void decode(Dtype type, const std::byte* data, std::span<double> values) {
  in_parts(type, values, [&](int64_t at, std::span<double> part) { decode_part(type, data + at, part); });
}

void encode(std::span<const float> values, Dtype type, std::byte* data) {
  in_parts(type, values,
           [&](int64_t at, std::span<const float> part) { encode_part(part, type, data + at); });
}

}  // namespace aviary
