#include "numbers/encoding.h"

#include <algorithm>
#include <atomic>
#include <type_traits>
#include <vector>

#include "base/error.h"
#include "base/threads.h"
#include "numbers/blocks.h"

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

// 1 when all bits of the exponent are set, otherwise 0.
template <typename Bits>
Bits infinite_or_nan(const std::byte* data, Bits exponent) {
  Bits bits;
  std::memcpy(&bits, data, sizeof(bits));
  return (bits & exponent) == exponent;
}

template <typename Bits>
int64_t first_not_finite(const std::byte* data, int64_t count, Bits exponent) {
  constexpr int64_t together = 1024, bytes = sizeof(Bits);
  for (int64_t i = 0; i < count; i += together) {
    const int64_t end = std::min(count, i + together);
    Bits found = 0;  // as wide as the elements read, so that the compiler vectorizes the loop
    for (int64_t j = i; j < end; ++j)
      found = static_cast<Bits>(found | infinite_or_nan(data + j * bytes, exponent));
    for (int64_t j = i; found && j < end; ++j)
      if (infinite_or_nan(data + j * bytes, exponent)) return j;
  }
  return -1;
}

// The first block with an f16 at one of these offsets that is not finite.
int64_t first_broken_block(Dtype type, const std::byte* data, int64_t blocks) {
  constexpr uint16_t exponent = 0x7c00;
  const int64_t bytes = block_of(type).bytes, scale_at = type == Dtype::q6_k ? bytes - 2 : 0;
  const int64_t offset_at = form_of(type).has_offset ? 2 : scale_at;
  for (int64_t i = 0; i < blocks; ++i, data += bytes)
    if (infinite_or_nan(data + scale_at, exponent) || infinite_or_nan(data + offset_at, exponent)) return i;
  return -1;
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

int64_t first_not_finite(Dtype type, const std::byte* data, int64_t count) {
  const Block block = block_of(type);
  std::atomic<int64_t> first{count};
  parallel_for(count / block.elements, (1 << 16) / block.elements, [&](int64_t begin, int64_t end) {
    const std::byte* from = data + begin * block.bytes;
    int64_t at = -1;
    if (is_quantized(type))
      at = first_broken_block(type, from, end - begin);
    else if (type == Dtype::f64)
      at = first_not_finite(from, end - begin, uint64_t{0x7ff0} << 48);
    else if (type == Dtype::f32)
      at = first_not_finite(from, end - begin, uint32_t{0x7f800000});
    else if (type == Dtype::f16 || type == Dtype::bf16)
      at = first_not_finite(from, end - begin, static_cast<uint16_t>(type == Dtype::f16 ? 0x7c00 : 0x7f80));
    if (at < 0) return;
    at = (begin + at) * block.elements;
    for (int64_t known = first.load(); at < known && !first.compare_exchange_weak(known, at);) {
    }
  });
  return first.load() == count ? -1 : first.load();
}

void encode(std::span<const float> values, Dtype type, std::byte* data) {
  in_parts(type, values,
           [&](int64_t at, std::span<const float> part) { encode_part(part, type, data + at); });
}

}  // namespace aviary
