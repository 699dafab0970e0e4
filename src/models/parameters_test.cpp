// The parameter table and the state table agree with how a model uses them.
#include "models/parameters.h"

#include "models/run.h"
#include "support/test_versions.h"

namespace aviary {
namespace {

class Tables : public testing::TestWithParam<std::string> {
 protected:
  // If the sizes of a version allow it, no matrix is square.
  std::unique_ptr<Model> model() const {
    ModelConfig config{
        .version = GetParam(), .n_layer = 3, .n_embd = 32, .vocab_size = 30, .dim_att = 64, .ctx_len = 16};
    return noisy_model(config);
  }
};

TEST_P(Tables, ExactlyTheProductsOfTheTableAreMultipliedAndAsItSays) {
  const auto model = this->model();
  Runner runner(*model);
  State state = runner.new_state();
  runner.last_logits(std::vector<int32_t>{1, 2, 3}, Sequences::uniform(1, 3), state);
  for (const Parameter& parameter : model->parameters()) {
    const ParameterSpec& spec = parameter.spec;
    SCOPED_TRACE(spec.name);
    const std::span<const kernels::PackedMatrix> packed = parameter.weight.packed();
    const std::optional<Layout> layout = layout_of(spec.use);
    if (!layout) {
      EXPECT_TRUE(packed.empty()) << "it is multiplied";
      continue;
    }
    if (spec.optional) continue;  // may be missing in a file, since it is not used
    ASSERT_EQ(spec.shape.rank(), spec.use == Use::stack ? 3 : 2);
    ASSERT_EQ(std::ssize(packed), spec.use == Use::stack ? spec.shape[0] : 1) << "it is not multiplied";
    const int last = spec.shape.rank() - 1;
    EXPECT_EQ(packed[0].k(), spec.shape[*layout == Layout::out_in ? last : last - 1]);
  }
}

TEST_P(Tables, TheFirstTableHasARowForEveryToken) {
  const auto model = this->model();
  int tables = 0;
  for (const Parameter& parameter : model->parameters()) {
    if (parameter.spec.use != Use::table) continue;
    ++tables;
    EXPECT_EQ(parameter.spec.shape.rank(), 2) << parameter.spec.name;
    EXPECT_EQ(parameter.spec.shape[0], 30) << parameter.spec.name;
  }
  EXPECT_GE(tables, 1);
}

TEST_P(Tables, AStateSaysWhatItsPartsAre) {
  const auto model = this->model();
  for (size_t i = 0; i < model->state_specs().size(); ++i) {
    const StateSpec& spec = model->state_specs()[i];
    SCOPED_TRACE(spec.name);
    const bool window = model->context_limit() > 0 && i == model->window();
    EXPECT_EQ(spec.kind == StateKind::window, window);
    EXPECT_TRUE(spec.initial == 0 || spec.kind == StateKind::recurrence);
  }
}

// Loading a file asks for every name once.
TEST(ParameterTable, FindsEachOfVeryManyNames) {
  constexpr int64_t count = 100'000;
  ParameterTable table(Dtype::f32);
  for (int64_t i = 0; i < count; ++i)
    table.add({fmt::format("blocks.{}.ln1.weight", i), Use::vector, {1}, init::constant(0)});
  for (int64_t i = 0; i < count; ++i) {
    const std::string name = fmt::format("blocks.{}.ln1.weight", i);
    const Parameter* found = table.find(name);
    ASSERT_NE(found, nullptr) << name;
    ASSERT_EQ(found->spec.name, name);
  }
  EXPECT_EQ(table.find("blocks.1.ln1"), nullptr);
}

INSTANTIATE_TEST_SUITE_P(Versions, Tables, testing::ValuesIn(version_names()), test_name);

}  // namespace
}  // namespace aviary
