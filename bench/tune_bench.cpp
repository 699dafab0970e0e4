// Tuning, compared with training everything and with the limit of the machine: RWKV-7 with random numbers.
// FLOP of a token: 6 x parameters in products for training everything, 4 x for adapters and states, whose
// base needs no gradient of its own.
// L12 D768 V65536: full, lora, miss, state on f32, bf16, q8_0
//   tune_bench
// 0.45B:
//   tune_bench --method lora --type q8_0 --layers 24 --width 1024 --batch 1 --recompute
// One long document, in chunks of --context tokens:
//   tune_bench --method full --type f32 --batch 1 --length 200000
// The memory of such documents, drawn:
//   tune_bench --method full --type f32 --batch 1 --steps 1 --plot memory.svg
//     --whole 512,1024,2048 --lengths 5000,20000,200000
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <vector>

#include "base/error.h"
#include "base/files.h"
#include "base/human.h"
#include "base/platform.h"
#include "base/threads.h"
#include "kernels/peak.h"
#include "models/registry.h"
#include "numbers/encoding.h"
#include "plot/plot.h"
#include "quant/random_model.h"
#include "train/long_pass.h"
#include "train/optimizer.h"
#include "train/trained_parts.h"

namespace {

using namespace aviary;

struct Setting {
  int64_t layers = 12, width = 768, vocabulary = 65536, context = 512, batch = 4, rank = 16, length = 0,
          steps = 5;
  int64_t kept_megabytes = 256;
  bool recompute = false;
};

int64_t parameters_in_products(const Model& model) {
  int64_t count = 0;
  for (const Parameter& parameter : model.parameters())
    if (parameter.spec.use != Use::vector && parameter.spec.use != Use::table && !parameter.spec.optional)
      count += parameter.spec.shape.count();
  return count;
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Like an initialized one, whose initializers take minutes at this size and do not affect speed.
std::unique_ptr<Model> model_with_values(const ModelConfig& config) {
  auto model = create_model(complete(config));
  Random random(1);
  for (Parameter& parameter : model->parameters()) {
    auto* values = parameter.weight.value().as<float>();
    for (int64_t i = 0; i < parameter.weight.value().count(); ++i)
      values[i] = static_cast<float>(random.uniform(-0.02, 0.02));
  }
  model->parameters().changed();
  return model;
}

Dtype type_named(const std::string& name) {
  for (Dtype type : weight_types)
    if (name == name_of(type)) return type;
  fail("--type {}: there is no such type", name);
}

struct Figures {
  double share = 0;   // of the peak
  double memory = 0;  // bytes, the most at any time
};

Figures measure(const Setting& setting, TuneMethod method, Dtype type, double peak) {
  const ModelConfig config{.version = "rwkv7",
                           .n_layer = setting.layers,
                           .n_embd = setting.width,
                           .vocab_size = setting.vocabulary};
  const kernels::Precision precision = kernels::fastest_precision();
  const std::unique_ptr<Model> model =
      method == TuneMethod::full ? model_with_values(config) : make_random_model(config, type, precision);
  platform::reset_peak_memory();
  TrainConfig tuned;
  tuned.tuning.method = method;
  tuned.tuning.rank = setting.rank;
  Runner runner(*model, precision);
  TrainedParts parts(*model, tuned);
  Optimizer optimizer(*model, parts.groups(), 1);
  const int64_t length = setting.length > 0 ? setting.length : setting.context;
  Batch batch;
  batch.sequences = Sequences::uniform(setting.batch, length);
  batch.fresh.assign(static_cast<size_t>(setting.batch), true);
  Random random(1);
  for (int64_t row = 0; row < batch.sequences.rows(); ++row) {
    batch.tokens.push_back(static_cast<int32_t>(random.below(setting.vocabulary)));
    batch.targets.push_back(static_cast<int32_t>(random.below(setting.vocabulary)));
  }
  std::vector<State> states = runner.new_states(setting.batch);
  const LongPass pass{.chunk = setting.context, .most_states = setting.kept_megabytes << 20};
  const Runner::Training training{
      .loss = {.l2wrap = true}, .first_state = parts.has_first_state(), .recompute = setting.recompute};
  auto step = [&] {
    for (State& state : states) parts.begin(state);
    if (setting.length > 0)
      long_loss_and_gradients(runner, batch, states, training, pass);
    else
      runner.loss_and_gradients(batch.tokens, batch.targets, batch.sequences, states, training);
    parts.add_state_gradients(runner, batch.fresh);
    optimizer.step(1e-5);
  };
  if (setting.length == 0) step(), step();
  std::vector<double> seconds;
  for (int64_t i = 0; i < setting.steps; ++i) {
    const auto start = std::chrono::steady_clock::now();
    step();
    seconds.push_back(seconds_since(start));
  }
  std::nth_element(seconds.begin(), seconds.begin() + std::ssize(seconds) / 2, seconds.end());
  const double typical = seconds[seconds.size() / 2], rows = static_cast<double>(batch.sequences.rows());
  const double flop = method == TuneMethod::full ? 6 : 4;
  const double share =
      flop * 1e-9 * static_cast<double>(parameters_in_products(*model)) * rows / typical / peak;
  fmt::print("{:<6} {:<5} {:>16} {:>5.1f} % of the peak, peak memory {}{}{}\n", name_of(method),
             name_of(type), human_rate(rows / typical, "tokens"), 100 * share,
             human_bytes(platform::peak_memory()), setting.recompute ? ", blocks computed again" : "",
             setting.length > 0
                 ? fmt::format(", {} chunks, every {}th state kept", pass.chunks(batch.sequences),
                               pass.stride(batch.sequences, states[0].bytes()))
                 : "");
  std::fflush(stdout);
  return {share, static_cast<double>(platform::peak_memory())};
}

// Memory over the length of a document: read as a whole, in chunks, and with --recompute in chunks whose
// blocks are computed again. The file is written after each measurement: long documents take many minutes.
void plot_memory(const Setting& setting, TuneMethod method, Dtype type, double peak,
                 const std::vector<int64_t>& whole, const std::vector<int64_t>& lengths,
                 const std::string& path) {
  std::vector<Series> series;
  auto draw = [&](const std::string& name, const std::vector<int64_t>& tokens, auto&& setting_of) {
    Series& one = series.emplace_back(Series{.name = name, .x = {}, .y = {}});
    for (int64_t length : tokens) {
      one.x.push_back(static_cast<double>(length));
      one.y.push_back(measure(setting_of(length), method, type, peak).memory / (1 << 30));
      write_file_atomically(path, line_plot("Training on one document", "tokens of the document",
                                            "peak memory, GiB", series, {.log_x = true}));
    }
  };
  auto in_chunks = [&](int64_t length, bool recompute) {
    Setting result = setting;
    result.length = length;
    result.recompute = recompute;
    return result;
  };
  draw("at once", whole, [&](int64_t length) {
    Setting result = setting;
    result.context = length;
    result.recompute = false;
    return result;
  });
  draw(fmt::format("in chunks of {}", setting.context), lengths,
       [&](int64_t length) { return in_chunks(length, false); });
  if (setting.recompute)
    draw("in chunks, with --recompute", lengths, [&](int64_t length) { return in_chunks(length, true); });
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Speed and memory of tuning RWKV-7 against the machine's peak");
  Setting setting;
  std::string method, type;
  app.add_option("--layers", setting.layers)->capture_default_str();
  app.add_option("--width", setting.width)->capture_default_str();
  app.add_option("--vocabulary", setting.vocabulary)->capture_default_str();
  app.add_option("--context", setting.context, "Tokens of a sequence, or of a chunk of one")
      ->capture_default_str();
  app.add_option("--batch", setting.batch, "Sequences")->capture_default_str();
  app.add_option("--rank", setting.rank)->capture_default_str();
  app.add_option("--length", setting.length, "Tokens of a document that is read in chunks; 0: none")
      ->capture_default_str();
  app.add_option("--kept", setting.kept_megabytes, "MiB of states between chunks that are kept")
      ->capture_default_str();
  app.add_option("--steps", setting.steps, "Steps that are measured")->capture_default_str();
  app.add_option("--method", method, "full, lora, miss, state; all by default");
  app.add_option("--type", type, "f32, bf16, q8_0, ...; these three by default");
  std::vector<int64_t> whole, lengths;
  std::string plot;
  app.add_option("--plot", plot, "Draws the memory of documents of --lengths to this SVG file");
  app.add_option("--lengths", lengths, "Tokens of these documents")->delimiter(',')->needs("--plot");
  app.add_option("--whole", whole, "Tokens of documents that are read at once, drawn beside them")
      ->delimiter(',')
      ->needs("--plot");
  app.add_flag("--recompute", setting.recompute, "Compute every block twice");
  CLI11_PARSE(app, argc, argv);
  try {
    const kernels::MachinePeak limit = kernels::measure_peak(threads());
    const double peak = std::max(limit.f32_gflops, limit.bf16_gflops);
    fmt::print("{} threads, peak {:.1f} GFLOP/s, memory {:.1f} GB/s; L{} D{} V{}, {} x {} tokens\n",
               threads(), peak, limit.read_gigabytes, setting.layers, setting.width, setting.vocabulary,
               setting.batch, setting.context);
    std::vector<Dtype> types = {Dtype::f32, Dtype::bf16, Dtype::q8_0};
    if (!type.empty()) types = {type_named(type)};
    std::vector<TuneMethod> methods = {TuneMethod::full, TuneMethod::lora, TuneMethod::miss,
                                       TuneMethod::state};
    if (!method.empty()) methods = {tune_method(method)};
    if (!plot.empty()) {
      plot_memory(setting, methods[0], types[0], peak, whole, lengths, plot);
      return 0;
    }
    double full = 0;
    for (TuneMethod one : methods)
      for (Dtype base : types) {
        if (one == TuneMethod::full && base != types[0]) continue;
        const double share = measure(setting, one, base, peak).share;
        if (one == TuneMethod::full) full = share;
        if (full > 0 && one != TuneMethod::full)
          fmt::print("{:>30.0f} % of full training's share\n", 100 * share / full);
      }
  } catch (const Error& error) {
    fmt::print(stderr, "tune_bench: {}\n", error.what());
    return 1;
  }
  return 0;
}
