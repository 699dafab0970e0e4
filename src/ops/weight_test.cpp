// Stored and packed weights: gradients go through them to x, and they change no more.
#include "ops/weight.h"

#include <gtest/gtest.h>

#include <functional>
#include <vector>

#include "numbers/encoding.h"
#include "ops/ops.h"
#include "support/check_operator.h"

namespace aviary {
namespace {

using check::Doubles;

constexpr int64_t rows = 7, out_size = 40, in_size = 256;

// A weight whose numbers are stored as `type`, and one of the same numbers as float32 values.
struct Pair {
  Pair(Dtype type, Shape shape)
      : stored(Weight::without_numbers("stored", shape, Dtype::f32)), values("values", shape, Dtype::f32) {
    Random random(5);
    const auto count = static_cast<size_t>(shape.count());
    std::vector<float> numbers(count);
    for (float& number : numbers) number = static_cast<float>(0.1 * random.normal());
    const auto bytes =
        std::make_shared<std::vector<std::byte>>(static_cast<size_t>(bytes_of(type, shape.count())));
    encode(numbers, type, bytes->data());
    decode(type, bytes->data(), {values.value().as<float>(), count});
    stored.store({type, *bytes, bytes});
  }
  Weight stored, values;
};

// The gradient with respect to x [rows, cols] of the result of `apply`.
Doubles gradient_of_x(int64_t cols, kernels::Precision precision,
                      const std::function<Var(Context&, const Var&)>& apply) {
  Arena arena;
  Tape tape(arena);
  const Sequences sequences = Sequences::uniform(1, rows);
  Context c{arena, sequences, precision, &tape};
  Random random(9);
  const Var x = c.result({rows, cols}, Dtype::f32);
  from_host(check::random_values(x.value.count(), 1, random), x.value);
  const Var y = apply(c, x);
  const Tensor dy = arena.tensor(y.shape(), Dtype::f32);
  from_host(check::random_values(dy.count(), 1, random), dy);
  tape.seed(y, dy);
  tape.backward();
  return to_host(tape.gradient(x));
}

class StoredWeight : public testing::TestWithParam<Dtype> {};

TEST_P(StoredWeight, PassesTheGradientOfItsNumbersToX) {
  for (kernels::Precision precision : {kernels::Precision::f32, kernels::Precision::bf16}) {
    Pair matrix(GetParam(), {out_size, in_size});
    matrix.stored.pack(Layout::out_in, precision);
    auto linear_with = [&](Weight& weight) {
      return gradient_of_x(in_size, precision,
                           [&](Context& c, const Var& x) { return linear(c, x, weight); });
    };
    check::expect_close(linear_with(matrix.stored), linear_with(matrix.values), 1e-5, "dx of linear");
    auto each_with = [&](Weight& weight) {
      return gradient_of_x(in_size, precision, [&](Context& c, const Var& x) {
        Var y[2];
        Weight* weights[] = {&weight, &weight};
        const Var inputs[] = {x, x};
        linear_each(c, inputs, weights, Layout::out_in, y);
        return add(c, y[0], y[1]);
      });
    };
    check::expect_close(each_with(matrix.stored), each_with(matrix.values), 1e-5, "dx of linear_each");
    Pair low_rank(GetParam(), {out_size, in_size});
    low_rank.stored.pack(Layout::in_out, precision);
    auto low_rank_with = [&](Weight& weight) {
      return gradient_of_x(out_size, precision,
                           [&](Context& c, const Var& x) { return linear(c, x, weight, Layout::in_out); });
    };
    check::expect_close(low_rank_with(low_rank.stored), low_rank_with(low_rank.values), 1e-5, "dx, in_out");
    Pair stack(GetParam(), {2, 3, in_size});
    stack.stored.pack(Layout::in_out, precision);
    auto stack_with = [&](Weight& weight) {
      return gradient_of_x(6, precision, [&](Context& c, const Var& x) {
        Var y[2];
        linear_stack(c, x, weight, y);
        return add(c, y[0], y[1]);
      });
    };
    check::expect_close(stack_with(stack.stored), stack_with(stack.values), 1e-5, "dx of a stack");
  }
}

INSTANTIATE_TEST_SUITE_P(Types, StoredWeight, testing::ValuesIn(weight_types),
                         [](const auto& info) { return std::string(name_of(info.param)); });

TEST(PackedWeight, OfWhichTheNumbersAreGonePassesGradientsThrough) {
  Weight packed("packed", {out_size, in_size}, Dtype::f32), kept("kept", {out_size, in_size}, Dtype::f32);
  Random random(3);
  for (Weight* weight : {&packed, &kept})
    from_host(check::random_values(out_size * in_size, 0.1, random), weight->value());
  copy(packed.value(), kept.value());
  packed.pack(Layout::out_in, kernels::Precision::f32);
  EXPECT_TRUE(packed.value().empty());
  auto with = [&](Weight& weight) {
    return gradient_of_x(in_size, kernels::Precision::f32,
                         [&](Context& c, const Var& x) { return linear(c, x, weight); });
  };
  check::expect_close(with(packed), with(kept), 1e-5, "dx");
}

TEST(PackedWeight, IsNeverTrained) {
  Pair pair(Dtype::q8_0, {out_size, in_size});
  EXPECT_THROW(pair.stored.set_trainable(true), Error);
  pair.values.set_trainable(true);
  pair.values.pack(Layout::out_in, kernels::Precision::f32);
  EXPECT_FALSE(pair.values.trainable());
  EXPECT_THROW(pair.values.set_trainable(true), Error);
}

TEST(PackedWeight, ForOtherProductsIsAnErrorThatTellsWhich) {
  Weight weight("blocks.0.att.key.weight", {out_size, in_size}, Dtype::f32);
  weight.pack(Layout::out_in, kernels::Precision::f32);
  auto error_of = [&](Layout layout, kernels::Precision precision) -> std::string {
    try {
      weight.forward(layout, precision);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(error_of(Layout::out_in, kernels::Precision::f32), "");
  EXPECT_EQ(error_of(Layout::out_in, kernels::Precision::bf16),
            "weight blocks.0.att.key.weight: it is packed for products y = x W^T in f32, and was to be "
            "multiplied as y = x W^T in bf16");
  EXPECT_NE(error_of(Layout::in_out, kernels::Precision::f32), "");
}

}  // namespace
}  // namespace aviary
