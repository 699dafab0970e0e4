// Training, compared with the limits of the machine: tokens/s of RWKV-7 (forward, backward and AdamW on
// random tokens), and the share of the peak of matrix products, measured in the same run. FLOP of a step: 6 x
// parameters in products (the low-rank matrices count, the embedding does not) x tokens. After two steps a
// step should allocate nothing; allocations are printed.
//   train_bench                      the two sizes that the project states
//   train_bench --layers 12 --width 768 --vocabulary 65536 --context 512 --batch 4 --precision bf16 --steps 5
#include <fmt/format.h>
#include <malloc.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <vector>

#include "base/human.h"
#include "base/threads.h"
#include "count_allocations.h"
#include "kernels/peak.h"
#include "models/registry.h"
#include "models/run.h"
#include "train/optimizer.h"

namespace {

using namespace aviary;

struct Size {
  int64_t layers = 0, width = 0, vocabulary = 0, context = 512, batch = 4;
};

struct Memory {
  Allocations allocated;  // calls of operator new so far
  int64_t heap;           // in use, malloc
  int64_t mapped;         // address space of the process: arenas and weights

  static Memory now() {
    const struct mallinfo2 info = mallinfo2();
    long long pages = 0;
    if (std::FILE* file = std::fopen("/proc/self/statm", "r")) {
      if (std::fscanf(file, "%lld", &pages) != 1) pages = 0;
      std::fclose(file);
    }
    return {allocations(), static_cast<int64_t>(info.uordblks + info.hblkhd), pages * 4096};
  }
};

// Numbers that take part in matrix products: every matrix but the embedding, the bonus of the heads
// (multiplied element by element) and the low-rank matrices of layer 0's unused value mix.
int64_t parameters_in_products(const Model& model) {
  int64_t count = 0;
  for (const Parameter& parameter : model.parameters()) {
    const std::string& name = parameter.spec.name;
    const bool elementwise = name == "emb.weight" || name.ends_with(".r_k") || name.ends_with(".time_faaaa");
    if (parameter.spec.shape.rank() == 2 && !elementwise && !parameter.spec.optional)
      count += parameter.spec.shape.count();
  }
  return count;
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2),
                   values.end());
  return values[values.size() / 2];
}

void train(const Size& size, kernels::Precision precision, int64_t steps) {
  const bool narrow = precision == kernels::Precision::bf16;
  kernels::MachinePeak peak = kernels::measure_peak(threads());
  auto model = create_model({.version = "rwkv7",
                             .recipe = "",
                             .n_layer = size.layers,
                             .n_embd = size.width,
                             .vocab_size = size.vocabulary});
  // The initializers take minutes at this size and do not affect speed.
  Random random(1);
  for (Parameter& parameter : model->parameters()) {
    float* values = parameter.weight.value().as<float>();
    for (int64_t i = 0; i < parameter.weight.value().count(); ++i)
      values[i] = static_cast<float>(random.uniform(-0.02, 0.02));
  }
  model->parameters().changed();
  const TrainingRecipe recipe = model_version("rwkv7").training("");
  Optimizer optimizer(
      *model,
      adamw_groups(model->parameters(), {recipe.beta1, recipe.beta2, recipe.epsilon, recipe.weight_decay}),
      recipe.clip);
  Runner runner(*model, precision);
  const Sequences sequences = Sequences::uniform(size.batch, size.context);
  std::vector<State> states = runner.new_states(size.batch);
  std::vector<int32_t> tokens(static_cast<size_t>(sequences.rows())), targets(tokens.size());
  auto step = [&] {
    for (int32_t& token : tokens) token = static_cast<int32_t>(random.below(size.vocabulary));
    for (int32_t& target : targets) target = static_cast<int32_t>(random.below(size.vocabulary));
    for (State& state : states) state.reset();
    runner.loss_and_gradients(tokens, targets, sequences, states, {.loss = {.l2wrap = true}});
    optimizer.step(1e-4);
  };

  const int64_t products = parameters_in_products(*model);
  fmt::print("rwkv7 L{} D{} vocabulary {}, {} x {} tokens, {}, {} parameters, {} in products\n", size.layers,
             size.width, size.vocabulary, size.context, size.batch, narrow ? "bf16" : "f32",
             with_commas(model->parameters().count()), with_commas(products));
  std::fflush(stdout);
  step();
  step();  // from now on the arena is one block
  std::vector<double> seconds(static_cast<size_t>(steps));
  const Memory before = Memory::now();
  for (double& one : seconds) {
    const auto start = std::chrono::steady_clock::now();
    step();
    one = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }
  const Memory after = Memory::now();
  const kernels::MachinePeak again = kernels::measure_peak(threads());
  const double limit = narrow ? std::max({peak.bf16_gflops, again.bf16_gflops, again.f32_gflops})
                              : std::max(peak.f32_gflops, again.f32_gflops);
  const double typical = median(seconds), rows = static_cast<double>(sequences.rows());
  const double gflops = 6e-9 * static_cast<double>(products) * rows / typical;
  fmt::print("  {}, {:.1f} GFLOP/s = {:.1f} % of the peak of {:.1f}; {} a step (median of {}, fastest {})\n",
             human_rate(rows / typical, "tokens"), gflops, 100 * gflops / limit, limit,
             human_duration(typical), steps,
             human_duration(*std::min_element(seconds.begin(), seconds.end())));
  fmt::print(
      "  per step: {:.1f} operator new of {:.0f} bytes; since the second step: heap {:+} bytes, mapped {:+} "
      "bytes\n",
      static_cast<double>(after.allocated.calls - before.allocated.calls) / static_cast<double>(steps),
      static_cast<double>(after.allocated.bytes - before.allocated.bytes) / static_cast<double>(steps),
      after.heap - before.heap, after.mapped - before.mapped);
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Training speed of RWKV-7 against the machine's peak");
  Size size;
  int64_t steps = 5;
  std::string precision, isa;
  auto positive = CLI::Range(int64_t{1}, int64_t{1} << 24);
  app.add_option("--layers", size.layers, "Without --layers: the two sizes that the project states")
      ->check(positive);
  app.add_option("--width", size.width)->check(positive);
  app.add_option("--vocabulary", size.vocabulary)->check(positive);
  app.add_option("--context", size.context, "Tokens of a sequence")->check(positive)->capture_default_str();
  app.add_option("--batch", size.batch, "Sequences")->check(positive)->capture_default_str();
  app.add_option("--steps", steps, "Steps that are measured, after two that are not")
      ->check(positive)
      ->capture_default_str();
  app.add_option("--precision", precision, "f32 or bf16; by default f32, and bf16 where that is faster")
      ->check(CLI::IsMember({"f32", "bf16"}));
  app.add_option("--isa", isa, "avx2: only its instructions, even if the CPU has better ones")
      ->check(CLI::IsMember({"avx2", "best"}));
  CLI11_PARSE(app, argc, argv);

  if (isa == "avx2") kernels::set_isa(kernels::Isa::avx2);
  std::vector<Size> sizes{{12, 768, 65536, size.context, size.batch},
                          {6, 512, 256, size.context, size.batch}};
  if (size.layers > 0) {
    if (size.width == 0) size.width = 512;
    if (size.vocabulary == 0) size.vocabulary = 256;
    sizes = {size};
  }
  std::vector<kernels::Precision> precisions;
  if (precision != "bf16") precisions.push_back(kernels::Precision::f32);
  if (precision == "bf16" || (precision.empty() && kernels::fastest_precision() == kernels::Precision::bf16))
    precisions.push_back(kernels::Precision::bf16);
  const kernels::MachinePeak peak = kernels::measure_peak(threads());
  fmt::print("{} threads: f32 {:.1f} GFLOP/s, bf16 {:.1f} GFLOP/s, memory {:.1f} GB/s\n", threads(),
             peak.f32_gflops, peak.bf16_gflops, peak.read_gigabytes);
  try {
    for (const Size& one : sizes)
      for (kernels::Precision p : precisions) train(one, p, steps);
  } catch (const Error& error) {
    fmt::print(stderr, "train_bench: {}\n", error.what());
    return 1;
  }
  return 0;
}
