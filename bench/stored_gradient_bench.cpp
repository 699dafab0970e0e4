// The memory of a backward pass through a model with quantized matrices: the gradient passes through them to
// the vectors (norms, mixes), and only these are trained. Matrices are not decoded as a whole, so in addition
// to the weights a pass needs only the activations kept by the tape.
//   stored_gradient_bench --random rwkv7:0.45B --type q4_k --tokens 128
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <vector>

#include "base/human.h"
#include "base/platform.h"
#include "models/run.h"
#include "numbers/encoding.h"
#include "quant/random_model.h"

int main(int argc, char** argv) {
  using namespace aviary;
  std::string size = "rwkv7:0.45B", type_name = "q4_k";
  int64_t tokens = 128;
  CLI::App app;
  app.add_option("--random", size, "A version and a size, as rwkv7:0.45B");
  app.add_option("--type", type_name, "How matrices are stored");
  app.add_option("--tokens", tokens, "Of the sequence");
  CLI11_PARSE(app, argc, argv);
  Dtype type = Dtype::f32;
  for (Dtype one : weight_types)
    if (name_of(one) == type_name) type = one;

  const std::unique_ptr<Model> model = make_random_model(parse_model_size(size), type);
  int64_t packed = 0;
  for (const Parameter& parameter : model->parameters())
    for (const kernels::PackedMatrix& matrix : parameter.weight.packed()) packed += matrix.bytes();
  fmt::print("{} {}: {} parameters, {} of packed matrices\n", size, type_name,
             with_commas(model->parameters().count()), human_bytes(packed));
  fmt::print("resident with the weights   {}\n", human_bytes(platform::current_memory()));

  Runner runner(*model);
  std::vector<int32_t> text;
  for (int64_t i = 0; i < tokens; ++i) text.push_back(static_cast<int32_t>(i * 7919 % 65536));
  const Sequences sequences = Sequences::uniform(1, tokens);
  auto seconds = [&](bool backward) {
    State state = runner.new_state();
    const auto start = std::chrono::steady_clock::now();
    if (backward)
      runner.loss_and_gradients(text, text, sequences, state, {});
    else
      runner.loss(text, text, sequences, state);
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  seconds(false);
  fmt::print("forward, {} tokens          {:.2f} s, most resident {}\n", tokens, seconds(false),
             human_bytes(platform::peak_memory()));
  model->parameters().set_trainable(true);
  seconds(true);
  fmt::print("forward and backward        {:.2f} s, most resident {}\n", seconds(true),
             human_bytes(platform::peak_memory()));
  fmt::print("resident afterwards         {}\n", human_bytes(platform::current_memory()));
  return 0;
}
