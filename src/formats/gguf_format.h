// Shared by the reader and the writer of GGUF files: the numbers of the types of values and tensors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <string_view>

#include "numbers/dtype.h"

namespace aviary::gguf {

constexpr std::string_view magic = "GGUF";
constexpr uint32_t newest_version = 3;
constexpr uint64_t default_alignment = 32;
// The limit of ggml.
constexpr uint32_t max_rank = 4;

enum class ValueType : uint32_t { u8, i8, u16, i16, u32, i32, f32, boolean, string, array, u64, i64, f64 };

struct TensorType {
  uint32_t id;
  std::string_view name;
  Dtype dtype = Dtype::f32;
  bool readable = true;
};

constexpr TensorType tensor_types[] = {
    {0, "F32", Dtype::f32},    {1, "F16", Dtype::f16},     {2, "Q4_0", Dtype::q4_0},
    {3, "Q4_1", Dtype::q4_1},  {6, "Q5_0", Dtype::q5_0},   {7, "Q5_1", Dtype::q5_1},
    {8, "Q8_0", Dtype::q8_0},  {9, "Q8_1", {}, false},     {10, "Q2_K", {}, false},
    {11, "Q3_K", {}, false},   {12, "Q4_K", Dtype::q4_k},  {13, "Q5_K", Dtype::q5_k},
    {14, "Q6_K", Dtype::q6_k}, {15, "Q8_K", {}, false},    {16, "IQ2_XXS", {}, false},
    {17, "IQ2_XS", {}, false}, {18, "IQ3_XXS", {}, false}, {19, "IQ1_S", {}, false},
    {20, "IQ4_NL", {}, false}, {21, "IQ3_S", {}, false},   {22, "IQ2_S", {}, false},
    {23, "IQ4_XS", {}, false}, {24, "I8", Dtype::i8},      {25, "I16", Dtype::i16},
    {26, "I32", Dtype::i32},   {27, "I64", Dtype::i64},    {28, "F64", Dtype::f64},
    {29, "IQ1_M", {}, false},  {30, "BF16", Dtype::bf16},  {34, "TQ1_0", {}, false},
    {35, "TQ2_0", {}, false},  {39, "MXFP4", {}, false},   {40, "NVFP4", {}, false},
};

// Null if ggml has no such type number.
constexpr const TensorType* find_tensor_type(uint32_t id) {
  for (const TensorType& type : tensor_types)
    if (type.id == id) return &type;
  return nullptr;
}
// Null if ggml has no such type.
constexpr const TensorType* find_tensor_type(Dtype dtype) {
  for (const TensorType& type : tensor_types)
    if (type.readable && type.dtype == dtype) return &type;
  return nullptr;
}

constexpr uint64_t align_up(uint64_t position, uint64_t alignment) {
  return (position + alignment - 1) / alignment * alignment;
}

}  // namespace aviary::gguf
