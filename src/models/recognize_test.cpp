#include "models/recognize.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "models/registry.h"

namespace aviary {
namespace {

ShapeMap shapes_of(const std::string& version) {
  ShapeMap shapes;
  const auto model = create_model({.version = version, .n_layer = 3, .n_embd = 32, .vocab_size = 11});
  for (const Parameter& parameter : model->parameters())
    shapes.emplace_back(parameter.spec.name, parameter.spec.shape);
  return shapes;
}

std::string recognize_refusal(const ShapeMap& shapes) {
  try {
    recognize_version(shapes, "file");
  } catch (const Error& error) {
    return error.what();
  }
  return "recognized";
}

// The version recognized from the tensors of a version.
const ModelVersion& claimant_of(const ModelVersion& version) {
  return version.twin ? model_version(version.twin) : version;
}

TEST(Recognize, RecognizesEveryRegisteredVersion) {
  for (const ModelVersion* version : model_versions()) {
    const auto found = recognize(shapes_of(version->name));
    ASSERT_TRUE(found.has_value()) << version->name;
    EXPECT_EQ(found->name, claimant_of(*version).name);
    EXPECT_EQ(found->title, claimant_of(*version).title);
    EXPECT_TRUE(found->runnable);
    EXPECT_EQ(found->config.n_layer, 3);
    EXPECT_EQ(found->config.n_embd, 32);
    EXPECT_EQ(found->config.vocab_size, 11);
  }
}

TEST(Recognize, NamesTheOneTensorThatIsMissing) {
  for (const ModelVersion* version : model_versions()) {
    const ShapeMap whole = shapes_of(version->name);
    const auto model = create_model({.version = version->name, .n_layer = 3, .n_embd = 32, .vocab_size = 11});
    for (size_t i = 0; i < whole.size(); ++i) {
      ShapeMap rest = whole;
      rest.erase(rest.begin() + static_cast<int64_t>(i));
      if (model->parameters().find(whole[i].first)->spec.optional) {
        EXPECT_EQ(recognize_refusal(rest), "recognized") << whole[i].first;
        continue;
      }
      EXPECT_EQ(recognize_refusal(rest), "file: this is an " + std::string(claimant_of(*version).title) +
                                             " with the tensor " + whole[i].first + " missing");
      EXPECT_FALSE(recognize(rest)->runnable);
    }
  }
}

TEST(Recognize, CountsTheTensorsOfALayerThatIsMissing) {
  ShapeMap shapes = shapes_of("rwkv7");
  std::erase_if(shapes, [](const auto& entry) { return entry.first.starts_with("blocks.1.ffn."); });
  EXPECT_EQ(recognize_refusal(shapes),
            "file: this is an RWKV-7 Goose with 3 tensors missing, among them blocks.1.ffn.x_k");
}

// A small file can name so many layers that listing what is missing in them would take minutes.
TEST(Recognize, ListsOnlyTheFirstOfManyThousandMissingTensors) {
  ShapeMap shapes = shapes_of("rwkv7");
  for (int layer = 3; layer < 20'000; ++layer)
    shapes.emplace_back(fmt::format("blocks.{}.att.x_r", layer), Shape{1, 1, 32});
  const std::string answer = recognize_refusal(shapes);
  EXPECT_NE(answer.find("this is an RWKV-7 Goose with at least 1000 tensors missing, among them blocks.3."),
            std::string::npos)
      << answer;
  std::erase_if(shapes, [](const auto& entry) { return !entry.first.ends_with(".att.x_r"); });
  EXPECT_NE(recognize_refusal(shapes).find("not a model of a version known here"), std::string::npos)
      << recognize_refusal(shapes);
}

TEST(Recognize, ListsTheTensorsOfAnUnknownModel) {
  EXPECT_FALSE(recognize({}).has_value());
  EXPECT_FALSE(recognize({{"x", {2}}, {"blocks.0.y", {}}}).has_value());
  const std::string first = model_versions()[0]->name;
  EXPECT_EQ(
      recognize_refusal({{"x", {2}}}).find("file: not a model of a version known here (" + first + ", "), 0u)
      << recognize_refusal({{"x", {2}}});
}

TEST(Recognize, SaysThatAFileHasNoTensors) {
  EXPECT_EQ(recognize_refusal({}), "file: the file is not a model: it has no tensors");
}

TEST(Recognize, ImpossibleBlockNumbersAreHarmless) {
  for (std::string number : {"9223372036854775807", "9223372036854775808", "4000000000", "-3", "", "x"}) {
    ShapeMap shapes = shapes_of("rwkv7");
    shapes.emplace_back("blocks." + number + ".att.r_k", Shape{4, 8});
    shapes.emplace_back("blocks." + number, Shape{});
    recognize_refusal(shapes);
    std::erase_if(shapes, [](const auto& entry) { return entry.first == "blocks.0.att.r_k"; });
    EXPECT_NE(recognize_refusal(shapes), "recognized") << number;
  }
}

}  // namespace
}  // namespace aviary
