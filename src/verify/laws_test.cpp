// The laws that every registered version must satisfy, without options and with each of its options. A
// registered version is tested here automatically.
#include "verify/laws.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/files.h"
#include "checkpoints/checkpoint.h"
#include "checkpoints/gguf_writer.h"
#include "checkpoints/targets.h"
#include "formats/pth.h"
#include "formats/safetensors.h"
#include "models/recognize.h"
#include "models/registry.h"
#include "support/repository.h"
#include "support/test_folder.h"

namespace aviary {
namespace {

const int64_t chunk = kernels::wkv_chunk;
const int64_t context = 2 * chunk;  // for versions with a context limit; some texts here are longer

// A version, and an option that is enabled, if any.
struct Member {
  const ModelVersion* version;
  const ModelOption* option = nullptr;
};

std::vector<Member> members() {
  std::vector<Member> all;
  for (const ModelVersion* version : model_versions()) {
    all.push_back({version});
    for (const ModelOption* option : version->options) all.push_back({version, option});
  }
  return all;
}

std::string label_of(const testing::TestParamInfo<Member>& info) {
  std::string name = info.param.version->name;
  if (info.param.option) name += std::string("_with_") + info.param.option->name;
  for (char& c : name)
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  return name;
}

class Laws : public testing::TestWithParam<Member> {
 protected:
  const ModelVersion& version() const { return *GetParam().version; }

  // A small model whose every number is random, so that no gradient vanishes.
  std::unique_ptr<Model> random_model(Dtype dtype, int64_t width = 16, int64_t head_size = 8,
                                      uint64_t seed = 1, const std::string& variant = "") {
    ModelConfig config{.version = version().name,
                       .variant = variant,
                       .n_layer = 2,
                       .n_embd = width,
                       .vocab_size = 11,
                       .ctx_len = context};
    for (const ModelOption* option = GetParam().option; option; option = option->needs)
      config.set(*option, option->kind == OptionKind::text ? OptionValue(option->sample_text)
                                                           : OptionValue(option->sample));
    try {
      config.head_size = head_size;
      version().complete(config);
    } catch (const Error&) {
      config.head_size = 0;  // for a version without heads
    }
    auto model = create_model(config, dtype);
    model->parameters().initialize(seed);
    Random random(seed + 100);
    for (Parameter& parameter : model->parameters()) {
      std::vector<double> values = to_host(parameter.weight.value());
      for (double& value : values) value = static_cast<float>(value + 0.2 * random.normal());
      from_host(values, parameter.weight.value());
    }
    model->parameters().changed();
    return model;
  }
};

void expect_passed(const std::vector<LawCheck>& checks) {
  for (const LawCheck& check : checks)
    EXPECT_TRUE(check.passed()) << check.what << ": " << check.difference << " > " << check.tolerance;
}

TEST_P(Laws, SplittingBatchingAndThreadsChangeNothing) {
  for (Dtype dtype : {Dtype::f32, Dtype::f64})
    for (int64_t length : {int64_t{1}, chunk - 1, chunk, 3 * chunk + 1}) {
      SCOPED_TRACE(testing::Message() << name_of(dtype) << ", " << length << " tokens");
      auto model = random_model(dtype);
      Runner runner(*model);
      for (uint64_t seed : {1, 2, 3}) expect_passed(check_split_law(runner, length, seed));
    }
}

TEST_P(Laws, SplittingChangesNothingAtEveryHeadSize) {
  for (int64_t head_size : {8, 16, 64}) {
    SCOPED_TRACE(testing::Message() << "head size " << head_size);
    auto model = random_model(Dtype::f32, std::max<int64_t>(32, head_size), head_size);
    Runner runner(*model);
    expect_passed(check_split_law(runner, 3 * chunk + 1, 4));
  }
}

TEST_P(Laws, GradientsAreThoseOfTheWholeModel) {
  auto model = random_model(Dtype::f64);
  model->parameters().set_trainable(true);
  Runner runner(*model);
  Sequences sequences;
  for (int64_t rows : {5, 1, 7}) sequences.append(rows);
  Random random(9);
  std::vector<int32_t> tokens, targets;
  for (int64_t i = 0; i < sequences.rows(); ++i) {
    tokens.push_back(static_cast<int32_t>(random.below(11)));
    targets.push_back(static_cast<int32_t>(random.below(11)));
  }
  std::vector<State> start = runner.new_states(3);
  std::vector<int32_t> others;  // different from `tokens`, to avoid ties in head_qk_max
  for (int32_t token : tokens) others.push_back((token + 1) % 11);
  runner.last_logits(others, sequences, start);  // a state that is not the initial one
  std::vector<State> states = start;
  runner.loss_and_gradients(tokens, targets, sequences, states, {});
  for (Parameter& parameter : model->parameters()) {
    if (parameter.spec.constant) continue;
    const std::vector<double> analytic = to_host(parameter.weight.gradient());
    double scale = 1e-4;
    for (double value : analytic) scale = std::max(scale, std::abs(value));
    std::vector<double> values = to_host(parameter.weight.value());
    for (int trial = 0; trial < 3; ++trial) {
      const auto i = static_cast<size_t>(random.below(static_cast<int64_t>(values.size())));
      auto loss_at = [&](double value) {
        const double old = values[i];
        values[i] = value;
        from_host(values, parameter.weight.value());
        values[i] = old;
        std::vector<State> now = start;
        return runner.loss(tokens, targets, sequences, now);
      };
      const double step = 1e-5,
                   numeric = (loss_at(values[i] + step) - loss_at(values[i] - step)) / (2 * step);
      loss_at(values[i]);
      EXPECT_NEAR(numeric, analytic[i], 1e-5 * scale + 1e-9) << parameter.spec.name << " element " << i;
    }
    from_host(values, parameter.weight.value());
  }
}

TEST_P(Laws, SavingAndLoadingGivesTheSameBytesAndLogits) {
  const TestFolder folder;
  auto model = random_model(Dtype::f32);
  save_checkpoint(folder.path() / "a.safetensors", *model, nullptr);
  Checkpoint loaded = load_checkpoint(folder.path() / "a.safetensors");
  save_checkpoint(folder.path() / "b.safetensors", *loaded.model, nullptr);
  EXPECT_EQ(read_file(folder.path() / "a.safetensors", 1 << 24),
            read_file(folder.path() / "b.safetensors", 1 << 24));
  EXPECT_EQ(loaded.model->config(), model->config());
  Runner first(*model), second(*loaded.model);
  State a = first.new_state(), b = second.new_state();
  const std::vector<int32_t> tokens{1, 2, 3};
  const Sequences one = Sequences::uniform(1, 3);
  EXPECT_EQ(to_host(first.all_logits(tokens, one, a)), to_host(second.all_logits(tokens, one, b)));
}

TEST_P(Laws, IsRecognizedFromNamesAndShapesOnly) {
  auto model = random_model(Dtype::f32);
  ShapeMap shapes;
  for (const Parameter& parameter : model->parameters())
    shapes.emplace_back(parameter.spec.name, parameter.spec.shape);
  int claims = 0;
  const std::string claimant = version().twin ? version().twin : version().name;
  for (const ModelVersion* version : model_versions())
    if (auto config = recognize_as(*version, shapes)) {
      ++claims;
      EXPECT_EQ(version->name, claimant);
      ModelConfig expected = model->config();
      expected.version = claimant;
      for (const ModelOption* option : GetParam().version->options)
        if (!option->in_tensors) expected.set(*option, 0);
      if (model->context_limit() == 0) expected.ctx_len = 0;
      EXPECT_EQ(version->complete(*config), expected);
    }
  EXPECT_EQ(claims, 1) << "exactly one version must claim these tensors";
}

std::vector<double> first_logits(Model& model) {
  Runner runner(model);
  State state = runner.new_state();
  const std::vector<int32_t> tokens{1, 2, 3, 4, 2, 1, 5};
  return to_host(runner.all_logits(tokens, Sequences::uniform(1, std::ssize(tokens)), state));
}

// As `aviary convert` writes it.
void write_as(const std::filesystem::path& path, const ModelConfig& config, const TensorFile& file) {
  const std::vector<StoredTensor> tensors = unchanged(file.tensors());
  switch (target_of(path)) {
    case Target::safetensors:
      return write_safetensors(path, tensors, metadata_of(config, nullptr));
    case Target::pth:
      return write_pth(path, tensors);
    case Target::gguf:
      return write_gguf(path, config, tensors);
  }
}

TEST_P(Laws, AFileSaysTheWholeModelOrItIsKnownWhatItCannotSay) {
  const TestFolder folder;
  std::vector<std::string> variants = version().variants;
  variants.emplace_back("");
  for (const std::string& variant : variants) {
    auto model = random_model(Dtype::f32, 16, 8, 1, variant);
    const std::vector<double> logits = first_logits(*model);
    save_checkpoint(folder / "a", *model, nullptr);
    const TensorFile file = read_tensor_file(folder / "a");
    for (const char* name : {"b.safetensors", "b.pth", "b.gguf"}) {
      SCOPED_TRACE(name + (" variant " + variant));
      const ModelConfig& config = model->config();
      const std::vector<std::string> missing = unsaid(target_of(name), config, shapes_of(file));
      write_as(folder / name, config, file);
      const bool lost = !missing.empty() && target_of(name) == Target::pth;
      if (!lost) {
        EXPECT_EQ(first_logits(*load_checkpoint(folder / name).model), logits);
      }
      if (target_of(name) == Target::gguf) {
        EXPECT_EQ(read_tensor_file(folder / name).dialect() == "llama.cpp", is_of_llama(config));
        EXPECT_TRUE(!is_of_llama(config) || config.options == Options());
      }
      if (missing.empty()) continue;
      const std::string named = version().twin ? version().name : GetParam().option->name;
      try {
        require_said(folder / name, config, shapes_of(file));
        ADD_FAILURE() << "not refused: " << missing[0];
      } catch (const Error& error) {
        EXPECT_NE(std::string(error.what()).find(named), std::string::npos) << error.what();
      }
    }
  }
}

// Infinite logits differ by NaN, and their size makes no tolerance infinite.
TEST_P(Laws, ModelsWithoutFiniteNumbersDoNotPass) {
  auto model = random_model(Dtype::f32);
  for (const char* name : {"ln_out.weight", "ln_f.weight", "lno.weight", "head.weight", "o.weight"})
    if (Parameter* parameter = model->parameters().find(name)) {
      std::vector<double> values = to_host(parameter->weight.value());
      for (double& value : values) value = std::copysign(1e30, value);
      from_host(values, parameter->weight.value());
    }
  model->parameters().changed();
  Runner runner(*model);
  int failed = 0;
  for (const LawCheck& check : check_split_law(runner, 2, 1)) {
    failed += check.passed() ? 0 : 1;
    EXPECT_TRUE(std::isfinite(check.tolerance)) << check.what;
  }
  EXPECT_GT(failed, 0);
  EXPECT_FALSE((LawCheck{"", 1, std::numeric_limits<double>::infinity()}.passed()));
}

TEST_P(Laws, IsDescribedInTheDocuments) {
  const std::string page = read_file(repository() / "docs/versions.md", 1 << 20);
  EXPECT_NE(page.find(version().title), std::string::npos)
      << "docs/versions.md has no section on " << version().title;
}

INSTANTIATE_TEST_SUITE_P(Registry, Laws, testing::ValuesIn(members()), label_of);

}  // namespace
}  // namespace aviary
