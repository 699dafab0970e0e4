#include "formats/dialects.h"

#include <gtest/gtest.h>

#include <functional>

#include "checkpoints/checkpoint.h"
#include "formats/safetensors.h"
#include "support/test_bytes.h"
#include "support/test_folder.h"

namespace aviary {
namespace {

// A tensor to be written in a dialect.
struct Moved {
  std::string name;
  std::vector<int64_t> shape;
  std::vector<double> numbers;

  bool has(std::string_view part) const { return name.find(part) != std::string::npos; }
  void rename(std::string_view from, std::string_view to) {
    if (const size_t at = name.find(from); at != std::string::npos) name.replace(at, from.size(), to);
  }
  void squeeze() { std::erase(shape, 1); }
  void exchange_last_two() {
    const size_t rank = shape.size();
    const int64_t rows = shape[rank - 2], cols = shape[rank - 1];
    std::vector<double> moved(numbers.size());
    for (int64_t i = 0; i < std::ssize(numbers); ++i) {
      const int64_t matrix = i / (rows * cols), row = i / cols % rows, col = i % cols;
      moved[static_cast<size_t>(matrix * rows * cols + col * rows + row)] = numbers[static_cast<size_t>(i)];
    }
    numbers = moved;
    std::swap(shape[rank - 2], shape[rank - 1]);
  }
};

using Mover = std::function<void(std::vector<Moved>&)>;
Mover each(const std::function<void(Moved&)>& move) {
  return [=](std::vector<Moved>& tensors) {
    for (Moved& tensor : tensors) move(tensor);
  };
}

// Writes the golden model in a dialect, reads it back and compares every tensor with the original.
void expect_translated(const std::string& folder, const std::string& dialect, const Mover& move,
                       const std::vector<std::string>& left_out = {}) {
  SCOPED_TRACE(folder + " as " + dialect);
  const TensorFile original = read_tensor_file(golden(folder + "/model.safetensors"));
  std::vector<Moved> tensors;
  for (const TensorEntry& tensor : original.tensors())
    if (std::find(left_out.begin(), left_out.end(), tensor.name) == left_out.end())
      tensors.push_back({tensor.name, tensor.shape, to_doubles(tensor)});
  move(tensors);
  std::vector<std::string> data;
  std::vector<TensorEntry> entries;
  for (const Moved& tensor : tensors) data.push_back(floats(tensor.numbers));
  for (size_t i = 0; i < tensors.size(); ++i)
    entries.push_back({tensors[i].name, Dtype::f32, tensors[i].shape, std::as_bytes(std::span(data[i]))});
  const TestFolder place;
  write_safetensors(place / "model.st", unchanged(entries));

  const TensorFile file = read_tensor_file(place / "model.st");
  EXPECT_EQ(file.dialect(), dialect);
  EXPECT_EQ(file.tensors().size(), original.tensors().size() - left_out.size());
  for (const TensorEntry& tensor : file.tensors()) {
    const TensorEntry* expected = original.find(tensor.name);
    ASSERT_NE(expected, nullptr) << tensor.name;
    EXPECT_EQ(tensor.shape, expected->shape) << tensor.name;
    EXPECT_EQ(to_doubles(tensor), to_doubles(*expected)) << tensor.name;
  }
}

void to_fla(Moved& tensor) {
  const bool bias = tensor.has(".w0") || tensor.has(".a0") || tensor.has(".v0");
  for (const std::string letter : {"w", "a", "v", "g"})
    for (const std::string number : {"0", "1", "2"}) {
      const std::string end = ".att." + letter + number;
      if (!tensor.name.ends_with(end)) continue;
      tensor.rename(end, ".attn." + letter + "_lora.lora." + (number == "1" ? "0" : "2") +
                             (number == "0" ? ".bias" : ".weight"));
      if (number != "0") tensor.exchange_last_two();
    }
  if (bias || tensor.has("k_k") || tensor.has("k_a") || tensor.has("ffn.x_k")) tensor.squeeze();
  tensor.rename("emb.weight", "model.embeddings.weight");
  tensor.rename("ln_out.", "model.norm.");
  tensor.rename("head.weight", "lm_head.weight");
  tensor.rename("blocks.", "model.layers.");
  tensor.rename(".ln0.", ".pre_norm.");
  tensor.rename(".ln1.", ".attn_norm.");
  tensor.rename(".ln2.", ".ffn_norm.");
  tensor.rename(".att.receptance.", ".attn.r_proj.");
  tensor.rename(".att.key.", ".attn.k_proj.");
  tensor.rename(".att.value.", ".attn.v_proj.");
  tensor.rename(".att.output.", ".attn.o_proj.");
  tensor.rename(".att.ln_x.", ".attn.g_norm.");
  tensor.rename(".att.", ".attn.");
}
const std::vector<std::string> not_in_fla = {"blocks.0.att.v0", "blocks.0.att.v1", "blocks.0.att.v2"};

TEST(Dialects, FlashLinearAttentionBecomesTheOriginal) {
  expect_translated("rwkv-v7", "fla", each(to_fla), not_in_fla);
}

TEST(Dialects, TheOldFlashLinearAttentionBecomesTheOriginal) {
  auto join_shift = [](std::vector<Moved>& tensors) {
    for (Moved& tensor : tensors) to_fla(tensor);
    for (const char* block : {"model.layers.0.attn.", "model.layers.1.attn."}) {
      Moved joined{block + "x_x"s, {6, 16}, {}};
      for (const char* x : {"x_r", "x_w", "x_k", "x_v", "x_a", "x_g"}) {
        auto part = std::find_if(tensors.begin(), tensors.end(),
                                 [&](const Moved& tensor) { return tensor.name == block + std::string(x); });
        ASSERT_NE(part, tensors.end());
        joined.numbers.insert(joined.numbers.end(), part->numbers.begin(), part->numbers.end());
        tensors.erase(part);
      }
      tensors.push_back(joined);
    }
  };
  expect_translated("rwkv-v7", "fla", join_shift, not_in_fla);
}

TEST(Dialects, HuggingFaceBecomesTheOriginal) {
  const Mover move = each([](Moved& tensor) {
    tensor.rename(".ln0.", ".pre_ln.");
    tensor.rename(".att.", ".attention.");
    tensor.rename(".ffn.", ".feed_forward.");
    for (const char* x : {"key", "value", "receptance", "gate"})
      if (tensor.name.ends_with(".time_mix_"s + x[0])) tensor.rename(".time_mix_"s + x[0], ".time_mix_"s + x);
    tensor.rename("emb.", "embeddings.");
    if (tensor.name != "head.weight") tensor.name = "rwkv." + tensor.name;
  });
  for (const std::string folder : {"rwkv-v4", "rwkv-v5.2"}) expect_translated(folder, "Hugging Face", move);
}

TEST(Dialects, WebRwkvBecomesTheOriginal) {
  auto mover = [](bool squeezed) {
    return each([squeezed](Moved& tensor) {
      tensor.rename("time_faaaa", "time_first");
      tensor.rename("time_maa", "time_mix");
      for (const char* pair : {"w1", "w2", "a1", "a2", "g1", "g2", "v1", "v2"})
        if (tensor.name.ends_with(pair)) tensor.exchange_last_two();
      if (squeezed && !tensor.has("time_decay")) tensor.squeeze();
    });
  };
  for (bool squeezed : {false, true})
    for (const std::string folder : {"rwkv-v5.2", "rwkv-v6", "rwkv-v6-x060b", "rwkv-v7"})
      expect_translated(folder, "web-rwkv", mover(squeezed));
  expect_translated("rwkv-v4", "", mover(false));  // nothing to translate
}

TEST(Dialects, TheOriginalNamesAreNotTranslated) {
  for (const auto& entry : std::filesystem::directory_iterator(golden(""))) {
    const auto model = entry.path() / "model.safetensors";
    if (!std::filesystem::exists(model)) continue;
    EXPECT_EQ(read_tensor_file(model).dialect(), "") << model;
  }
}

TEST(Dialects, TransposingSwapsTheLastTwoAxes) {
  const std::string data = floats({0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11});
  TensorTable table;
  const TensorEntry cube{"x", Dtype::f32, {2, 2, 3}, std::as_bytes(std::span(data))};
  const TensorEntry result = transposed(table, cube, "y", "file");
  EXPECT_EQ(result.name, "y");
  EXPECT_EQ(result.shape, (std::vector<int64_t>{2, 3, 2}));
  EXPECT_EQ(to_doubles(result), (std::vector<double>{0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11}));
  const TensorEntry row{"x", Dtype::f32, {12}, std::as_bytes(std::span(data))};
  EXPECT_THROW(transposed(table, row, "y", "file"), Error);
}

TEST(Dialects, TransposingABlockFormatGivesF32) {
  const std::string data =
      le(to_f16(1).bits) + std::string(32, '\3') + le(to_f16(2).bits) + std::string(32, '\5');
  TensorTable table;
  const TensorEntry matrix{"x", Dtype::q8_0, {2, 32}, std::as_bytes(std::span(data))};
  const TensorEntry result = transposed(table, matrix, "x", "file");
  EXPECT_EQ(result.dtype, Dtype::f32);
  EXPECT_EQ(result.shape, (std::vector<int64_t>{32, 2}));
  const std::vector<double> numbers = to_doubles(result);
  for (size_t i = 0; i < 64; ++i) EXPECT_EQ(numbers[i], i % 2 ? 10 : 3);
}

TEST(Dialects, TensorsThatCannotBeTranslatedAreRejected) {
  auto refusal = [](std::vector<TensorEntry> tensors) -> std::string {
    TensorTable table;
    table.format = "safetensors";
    table.tensors = std::move(tensors);
    try {
      to_original_names(std::move(table), "file");
    } catch (const Error& error) {
      return error.what();
    }
    return "translated";
  };
  static const std::string zeros(1024, '\0');
  auto tensor = [](const std::string& name, std::vector<int64_t> shape) {
    TensorEntry entry{name, Dtype::f32, std::move(shape), {}};
    entry.data = std::as_bytes(std::span(zeros)).first(static_cast<size_t>(expected_bytes(entry, "")));
    return entry;
  };
  const std::string att = "model.layers.0.attn.";
  EXPECT_NE(refusal({tensor(att + "w_lora.lora.0.weight", {4})})
                .find("file: tensor 'blocks.0.att.w1' has the shape [4]"),
            std::string::npos);
  EXPECT_NE(refusal({tensor(att + "w_lora.lora.0.weight", {4, 2}), tensor(att + "x_x", {5, 4})})
                .find("expected six rows"),
            std::string::npos);
  EXPECT_NE(refusal({tensor("rwkv.blocks.0.att.key.weight", {2, 2}),
                     tensor("rwkv.blocks.0.attention.key.weight", {2, 2})})
                .find("file: two tensors become 'blocks.0.att.key.weight'"),
            std::string::npos);
}

}  // namespace
}  // namespace aviary
