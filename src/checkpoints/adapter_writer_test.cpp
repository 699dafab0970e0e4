// Adapters that were written, read again and added to a model, against the model whose matrices were changed.
#include "checkpoints/adapter_writer.h"

#include <gtest/gtest.h>

#include <fstream>

#include "base/files.h"
#include "checkpoints/gguf_writer.h"
#include "formats/pth.h"
#include "support/test_adapters.h"

namespace aviary {
namespace {

namespace fs = std::filesystem;

using WrittenAdapters = AdapterTest;

TEST_F(WrittenAdapters, KeepTheirMatricesAndWhatIsSaidOfThem) {
  const AdapterInfo info{.method = "lora", .alpha = 6, .base = base(), .trained_on = "twelve letters"};
  write_adapter(file_, info, matrices_);
  const AdapterFile read = read_adapter(file_);
  ASSERT_TRUE(read.info.has_value());
  EXPECT_EQ(read.info->method, "lora");
  EXPECT_EQ(read.info->alpha, 6);
  EXPECT_FALSE(read.info->rank_stabilized);
  EXPECT_EQ(read.info->base.hash, info.base.hash);
  EXPECT_EQ(read.info->base.type, "f32");
  EXPECT_EQ(read.info->base.name, info.base.name);
  EXPECT_EQ(read.info->base.version, "rwkv7");
  EXPECT_EQ(read.info->trained_on, "twelve letters");
  ASSERT_EQ(read.matrices.size(), matrices_.size());
  for (size_t i = 0; i < matrices_.size(); ++i) {
    EXPECT_EQ(read.matrices[i].name, matrices_[i].name);
    EXPECT_EQ(read.matrices[i].a, matrices_[i].a);
    EXPECT_EQ(read.matrices[i].b, matrices_[i].b);
  }
  expect_near(opened(file_), changed(2));
}

TEST_F(WrittenAdapters, ThatAreRankStabilizedHaveTheRootOfTheirRankInTheScale) {
  write_adapter(file_, {.alpha = 6, .rank_stabilized = true}, matrices_);
  expect_near(opened(file_), changed(6 / std::sqrt(3.0)));
}

TEST_F(WrittenAdapters, OfMissKeepTheWidthsThatTheirTensorsDoNotShow) {
  write_adapter(file_, {.method = "miss", .alpha = rank}, miss());
  const AdapterFile read = read_adapter(file_);
  for (size_t i = 0; i < matrices_.size(); ++i) {
    EXPECT_TRUE(read.matrices[i].a.empty());
    EXPECT_EQ(read.matrices[i].in, matrices_[i].in);
  }
  expect_near(opened(file_), changed(1, true));
}

TEST_F(WrittenAdapters, OfPissaHoldTheDifferenceToTheirStart) {
  std::vector<AdapterMatrix> differences;
  for (const AdapterMatrix& matrix : matrices_) {
    AdapterMatrix trained = matrix, start = matrix;
    for (float& x : trained.b) x *= 1.75f;
    for (float& x : start.b) x *= 0.75f;
    differences.push_back(difference(trained, start));
    EXPECT_EQ(differences.back().rank, 2 * rank);
  }
  write_adapter(file_, {.method = "pissa", .alpha = 2 * rank}, differences);
  expect_near(opened(file_), changed(1));
  const AdapterRequest request = adapter_request(file_.string() + ",init=" + file_.string());
  EXPECT_NE(refusal([&] {
              add_adapter(read_adapter(file_), request, *load_checkpoint(model_).model);
            }).find("leave out init"),
            std::string::npos);
}

TEST_F(WrittenAdapters, OfWholeParametersReplaceThem) {
  const std::vector<float> twos(64, 2.0f);
  const TensorEntry norm{"ln_out.weight", Dtype::f32, {64}, std::as_bytes(std::span(twos))};
  write_adapter(file_, {.method = "parts"}, {}, std::span(&norm, 1));
  const Checkpoint checkpoint = load_checkpoint(model_);
  from_host(std::vector<double>(64, 2.0),
            checkpoint.model->parameters().find("ln_out.weight")->weight.value());
  expect_near(opened(file_), logits_of(*checkpoint.model));
  EXPECT_NE(refusal([&] { opened(file_.string() + ",weight=0.5"); }).find("have no effect"),
            std::string::npos);
}

TEST_F(WrittenAdapters, AreRefusedBesideAnotherBaseUnlessItIsForced) {
  write_adapter(file_, {.alpha = rank, .base = base()}, matrices_);
  const Checkpoint checkpoint = load_checkpoint(model_);
  save_checkpoint(folder_ / "kept.safetensors", *checkpoint.model, nullptr);
  checkpoint.model->parameters().find("emb.weight")->weight.value().as<float>()[100] += 1;
  save_checkpoint(model_, *checkpoint.model, nullptr);
  const std::string answer = refusal([&] { opened(file_); });
  EXPECT_EQ(answer.find(file_.string() + ": it was trained on "), 0u) << answer;
  EXPECT_NE(answer.find("--force"), std::string::npos) << answer;
  EXPECT_EQ(refusal([&] { opened(file_, true); }), "done");
}

TEST_F(WrittenAdapters, ThatCannotBeReadAgainAreNotWritten) {
  auto expect_refused = [&](const AdapterInfo& info, const std::vector<AdapterMatrix>& matrices,
                            const char* words) {
    const std::string answer = refusal([&] { write_adapter(file_, info, matrices); });
    EXPECT_NE(answer.find(words), std::string::npos) << answer;
    EXPECT_FALSE(fs::exists(file_));
  };
  expect_refused({}, {}, "nothing to write");
  expect_refused({.method = "parts"}, matrices_, "2 matrices");
  expect_refused({.method = "miss"}, matrices_, "not those of a MiSS adapter");
  expect_refused({}, miss(), "not those of a LoRA");
  std::vector<AdapterMatrix> matrices = matrices_;
  matrices[1].b.pop_back();
  expect_refused({}, matrices, "blocks.0.ffn.value.weight");
  matrices = matrices_;
  matrices[1].name = matrices[0].name;
  expect_refused({}, matrices, "two tensors");
  matrices[1].name = "head";
  expect_refused({}, matrices, "not 'head'");
  matrices = matrices_;
  matrices[0].a[3] = std::nanf("");
  expect_refused({}, matrices, "NaN");
}

TEST_F(WrittenAdapters, ThatAreDamagedAreReadOrRefused) {
  write_adapter(file_, {.method = "miss", .alpha = rank, .base = base()}, miss());
  const std::string good = read_file(file_, 1 << 24);
  const auto answer_to = [&](const std::string& bytes) {
    std::ofstream(file_, std::ios::binary) << bytes;
    return refusal([&] { read_adapter(file_); });
  };
  int refused = 0;
  for (size_t i = 0; i < 900; ++i) {  // the header, and some numbers
    std::string bytes = good;
    bytes[i] = static_cast<char>(bytes[i] ^ (i % 2 == 0 ? 1 : 0x40));
    refused += answer_to(bytes) != "done";
  }
  EXPECT_GT(refused, 100);
  for (size_t size : {size_t{9}, size_t{100}, good.size() / 2, good.size() - 1})
    EXPECT_NE(answer_to(good.substr(0, size)), "done");
}

TEST_F(WrittenAdapters, WithMetadataThatIsNotUnderstoodAreRefused) {
  auto answer_to = [&](const std::string& json) {
    return refusal([&] { adapter_info_in({{adapter_info_key, json}}, "file"); });
  };
  const std::string good = to_json(AdapterInfo{}, 3);
  EXPECT_EQ(answer_to(good), "done");
  auto with = [&](const std::string& from, const std::string& to) {
    std::string json = good;
    json.replace(json.find(from), from.size(), to);
    return answer_to(json);
  };
  EXPECT_NE(with("\"format\":1", "\"format\":2").find("newer Aviary"), std::string::npos);
  EXPECT_NE(with("\"method\":\"lora\"", "\"method\":\"x\"").find("method is 'x'"), std::string::npos);
  EXPECT_NE(with("\"alpha\":1.0", "\"alpha\":\"\"").find("alpha is"), std::string::npos);
  EXPECT_NE(with("false", "0").find("expected true or false"), std::string::npos);
  EXPECT_NE(with("{", "{\"inputs\":{\"a\":-1},").find("expected a size"), std::string::npos);
  EXPECT_NE(answer_to("[]").find("file, metadata entry aviary.adapter"), std::string::npos);
}

TEST_F(WrittenAdapters, KnowTheirBaseInEveryFormat) {
  const TensorFile file = read_tensor_file(model_);
  const std::string hash = base_hash_of(file);
  EXPECT_EQ(hash.size(), 16u);
  write_pth(folder_ / "model.pth", unchanged(file.tensors()));
  EXPECT_EQ(base_hash_of(read_tensor_file(folder_ / "model.pth")), hash);
  // Stored transposed, a matrix is copied or used in place.
  std::vector<StoredTensor> halves = unchanged(file.tensors());
  for (StoredTensor& tensor : halves) tensor.type = Dtype::f16;
  write_pth(folder_ / "half.pth", halves);
  EXPECT_NE(base_hash_of(read_tensor_file(folder_ / "half.pth")), hash);
  write_gguf(folder_ / "model.gguf", config_of(file, ""), unchanged(file.tensors()));
  const std::string of_gguf = base_hash_of(read_tensor_file(folder_ / "model.gguf"));
  EXPECT_EQ(base_hash_of(read_tensor_file(folder_ / "model.gguf", Transposed::in_place)), of_gguf);
  EXPECT_EQ(of_gguf, hash);
}

}  // namespace
}  // namespace aviary
