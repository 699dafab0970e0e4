// aviary bench: the speed of a model on this machine, as a share of the limits of the machine.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>

#include "base/error.h"
#include "base/files.h"
#include "base/human.h"
#include "base/interrupt.h"
#include "base/platform.h"
#include "base/progress.h"
#include "base/threads.h"
#include "cli/cli.h"
#include "cli/outputs.h"
#include "eval/long_run.h"
#include "eval/speed.h"
#include "models/registry.h"
#include "quant/random_model.h"
#include "tensor/buffer.h"

namespace aviary::cli {
namespace {

using Json = nlohmann::ordered_json;

struct BenchFlags {
  ModelFlags model;
  std::string random, type = "bf16";
  int64_t vocabulary = 65536;
  SpeedRequest request{.batches = {1, 8, 32}};
  int64_t long_run = 0;  // tokens
  std::string plots;     // folder for its plots
  bool machine = false, json = false;
};

Json bench_json(const kernels::MachinePeak& peak) {
  return {{"threads", threads()},
          {"instructions", kernels::instruction_sets()},
          {"read_gigabytes_per_second", peak.read_gigabytes},
          {"f32_gflops", peak.f32_gflops},
          {"bf16_gflops", peak.bf16_gflops},
          {"int8_gigaops", peak.int8_gigaops}};
}

void print_peak(const kernels::MachinePeak& peak, int workers) {
  fmt::print("{:<17} memory {:.1f} GB/s   f32 {:.0f} GFLOP/s",
             workers == 1 ? "1 thread" : fmt::format("{} threads", workers), peak.read_gigabytes,
             peak.f32_gflops);
  if (peak.bf16_gflops > 0) fmt::print("   bf16 {:.0f}", peak.bf16_gflops);
  if (peak.int8_gigaops > 0) fmt::print("   int8 {:.0f}", peak.int8_gigaops);
  fmt::print("\n");
}

int bench_machine(const BenchFlags& flags) {
  std::vector<int> workers{1};
  if (threads() > 1) workers.push_back(threads());
  Json json;
  if (!flags.json) fmt::print("instructions      {}\n", kernels::instruction_sets());
  for (const int count : workers) {
    const kernels::MachinePeak peak = kernels::measure_peak(count);
    Json entry = bench_json(peak);
    entry["threads"] = count;
    json.push_back(entry);
    if (!flags.json) print_peak(peak, count);
  }
  if (flags.json) {
    fmt::print("{}\n", json.dump(2, ' ', true, Json::error_handler_t::replace));
    return 0;
  }
  for (const int64_t mebibytes : {1, 4, 8, 16, 24, 32, 64, 256})
    fmt::print("{:>4} MiB read     {:.1f} GB/s\n", mebibytes,
               1e-9 * kernels::ReadMeter(mebibytes << 20, threads()).measure());
  return 0;
}

struct Loaded {
  LoadedModel file;  // or
  std::unique_ptr<Model> random;
  double seconds = 0;  // until the model was loaded
  double first_token_seconds = 0;
  double fill_seconds = 0;  // of filling as much fresh memory as the weights take, for comparison
  int64_t resident = 0;     // peak memory until then

  Model& model() const { return random ? *random : *file.model; }
};

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

Loaded load_measured(const BenchFlags& flags) {
  const auto start = std::chrono::steady_clock::now();
  Loaded loaded;
  if (flags.random.empty())
    loaded.file = flags.model.load();
  else
    loaded.random = make_random_model(parse_model_size(flags.random, flags.vocabulary),
                                      *parse_type(flags.type), flags.model.asked_precision());
  loaded.seconds = seconds_since(start);
  return loaded;
}

void run_first_token(const Loaded& loaded, Runner& runner) {
  State state = runner.new_state();
  const int32_t token = 0;
  const Tensor result = runner.last_logits({&token, 1}, Sequences::uniform(1, 1), state);
  const std::span logits(result.as<float>(), static_cast<size_t>(result.count()));
  const auto broken = std::ranges::find_if_not(logits, [](float logit) { return std::isfinite(logit); });
  require(broken == logits.end(), "{}: the logit of token {} is {} after one token: the model is broken",
          loaded.file.path.string(), broken - logits.begin(), broken == logits.end() ? 0 : *broken);
}

// Runs the first token, and measures its time and that of filling the same amount of fresh memory.
void measure_first_token(Loaded& loaded, Runner& runner) {
  auto start = std::chrono::steady_clock::now();
  run_first_token(loaded, runner);
  loaded.first_token_seconds = seconds_since(start);
  loaded.resident = platform::peak_memory();
  int64_t bytes = 0;
  for (const Parameter& parameter : loaded.model().parameters()) bytes += parameter.weight.bytes();
  const int64_t most = int64_t{1} << 30;  // more gives no additional information
  start = std::chrono::steady_clock::now();
  const Buffer fresh(std::min(bytes, most));
  std::memset(fresh.data(), 1, static_cast<size_t>(fresh.bytes()));
  loaded.fill_seconds =
      seconds_since(start) * static_cast<double>(bytes) / static_cast<double>(fresh.bytes());
}

std::string name_of(const Loaded& loaded) {
  const ModelConfig& config = loaded.model().config();
  return fmt::format("{}, {} layers, width {}, {} tokens, {} parameters", model_version(config.version).title,
                     config.n_layer, config.n_embd, with_commas(config.vocab_size),
                     with_commas(loaded.model().parameters().count()));
}

// The types of the matrices, the most common first.
std::string products_of(const Model& model) {
  std::map<Dtype, int64_t> numbers;
  for (const Parameter& parameter : model.parameters()) {
    if (parameter.weight.packed().empty()) continue;
    numbers[parameter.weight.packed()[0].type()] += parameter.spec.shape.count();
  }
  std::vector<std::pair<int64_t, Dtype>> order;
  for (const auto& [type, count] : numbers) order.emplace_back(-count, type);
  std::ranges::sort(order);
  std::vector<std::string> texts;
  for (const auto& [count, type] : order) texts.push_back(kernels::products_of(type));
  return fmt::format("{}", fmt::join(texts, "; "));
}

Json bench_json(const Rate& rate, const char* of) {
  return {{"batch", rate.batch}, {"tokens_per_second", rate.tokens_per_second}, {of, rate.share}};
}

void print_bench_json(const BenchFlags& flags, const Loaded& loaded, const Speed& speed) {
  Json json{{"model", name_of(loaded)},
            {"type", flags.random.empty() ? "" : flags.type},
            {"load_seconds", loaded.seconds},
            {"first_token_seconds", loaded.first_token_seconds},
            {"fill_seconds", loaded.fill_seconds},
            {"weight_bytes", speed.stored_bytes},
            {"weight_bytes_per_token", speed.weight_bytes},
            {"state_bytes", speed.state_bytes},
            {"peak_resident_bytes", loaded.resident},
            {"machine", bench_json(speed.peak)},
            {"products", products_of(loaded.model())},
            {"read_limit_gigabytes_per_second", 1e-9 * speed.read_rate}};
  if (speed.prompt.batch > 0) {
    json["prompt"] = bench_json(speed.prompt, "share_of_product_peak");
    json["prompt"]["tokens"] = flags.request.prompt;
  }
  for (const Rate& rate : speed.decode) json["decode"].push_back(bench_json(rate, "share_of_limit"));
  fmt::print("{}\n", json.dump(2, ' ', true, Json::error_handler_t::replace));
}

void print_bench(const BenchFlags& flags, const Loaded& loaded, const Speed& speed) {
  fmt::print("{}{}\n", name_of(loaded), flags.random.empty() ? "" : ", " + flags.type);
  fmt::print("load              {}, first token {} (filling as much memory takes {})\n",
             human_duration(loaded.seconds), human_duration(loaded.first_token_seconds),
             human_duration(loaded.fill_seconds));
  fmt::print("memory            {} of weights, {} of state; at most {} resident\n",
             human_bytes(speed.stored_bytes), human_bytes(speed.state_bytes), human_bytes(loaded.resident));
  fmt::print("instructions      {}\n", kernels::instruction_sets());
  fmt::print("products          {}\n", products_of(loaded.model()));
  print_peak(speed.peak, threads());
  if (speed.prompt.batch > 0)
    fmt::print("prompt of {:<7} {:<24} {:>5.1f} % of the peak of {} products\n", flags.request.prompt,
               human_rate(speed.prompt.tokens_per_second, "tokens"), 100 * speed.prompt.share,
               speed.peak.bf16_gflops > 0 ? "bf16" : "f32");
  for (const Rate& rate : speed.decode) {
    const std::string label = rate.batch == 1 ? "decode" : fmt::format("decode, batch {}", rate.batch);
    fmt::print("{:<17} {:<24} {:>5.1f} % of the limit", label, human_rate(rate.tokens_per_second, "tokens"),
               100 * rate.share);
    if (rate.batch == 1)
      fmt::print(": {} a token, read at {:.1f} GB/s", human_bytes(speed.weight_bytes),
                 1e-9 * speed.read_rate);
    else if (speed.decode.front().batch == 1)
      fmt::print("; {:.1f} times batch 1", rate.tokens_per_second / speed.decode.front().tokens_per_second);
    fmt::print("\n");
  }
}

// The mean of a tenth of the run.
double mean_of(const std::vector<double>& values, size_t begin, size_t end) {
  return std::accumulate(values.begin() + static_cast<int64_t>(begin),
                         values.begin() + static_cast<int64_t>(end), 0.0) /
         static_cast<double>(std::max<size_t>(end - begin, 1));
}

int bench_long(const BenchFlags& flags, Runner& runner, const InterruptGuard& guard) {
  Progress progress({.label = "write", .total = flags.long_run, .summary = false});
  const LongRun run = run_long(runner, flags.long_run, 100, [&](int64_t done) {
    progress.update(done);
    return !guard.interrupted();
  });
  progress.finish();
  if (guard.interrupted()) return interrupt_exit_code();
  const size_t count = run.seconds.size(), tenth = std::max<size_t>(count / 10, 1);
  fmt::print("{} tokens, one after the other\n", with_commas(run.tokens * std::ssize(run.seconds)));
  fmt::print("{:<18} {:>12} {:>12}\n", "", "first tenth", "last tenth");
  fmt::print("{:<18} {:>12.1f} {:>12.1f}\n", "us per token", 1e6 * mean_of(run.seconds, 0, tenth),
             1e6 * mean_of(run.seconds, count - tenth, count));
  fmt::print("{:<18} {:>12.1f} {:>12.1f}\n", "its fastest 100", 1e6 * mean_of(run.fastest, 0, tenth),
             1e6 * mean_of(run.fastest, count - tenth, count));
  fmt::print("{:<18} {:>12.2f} {:>12.2f}\n", "memory, MiB", mean_of(run.memory_bytes, 0, tenth) / (1 << 20),
             mean_of(run.memory_bytes, count - tenth, count) / (1 << 20));
  if (flags.plots.empty()) return 0;
  make_folders(flags.plots);
  const std::filesystem::path folder = flags.plots;
  write_file_atomically(folder / "time.svg", plot_time(run));
  write_file_atomically(folder / "memory.svg", plot_memory(run));
  fmt::print("{}: time.svg, memory.svg\n", flags.plots);
  return 0;
}

int bench(const BenchFlags& flags) {
  if (flags.machine) return bench_machine(flags);
  for (const int64_t batch : flags.request.batches)
    require(batch >= 1 && batch <= 4096, "--batches: {} sequences at once, expected 1 to 4096", batch);
  if (!flags.plots.empty())
    require_apart(
        {std::filesystem::path(flags.plots) / "time.svg", std::filesystem::path(flags.plots) / "memory.svg"},
        flags.random.empty() ? flags.model.inputs() : std::vector<std::filesystem::path>());
  Loaded loaded = load_measured(flags);
  Runner runner(loaded.model());
  InterruptGuard guard;
  if (flags.long_run > 0) {
    run_first_token(loaded, runner);
    return bench_long(flags, runner, guard);
  }
  measure_first_token(loaded, runner);
  Progress progress({.label = "measure", .total = 1000, .summary = false});
  const Speed speed = measure_speed(runner, flags.request, [&](double done) {
    progress.update(static_cast<int64_t>(1000 * done));
    return !guard.interrupted();
  });
  if (guard.interrupted()) return interrupt_exit_code();
  (flags.json ? print_bench_json : print_bench)(flags, loaded, speed);
  return 0;
}

Action add_bench(CLI::App& command) {
  auto flags = std::make_shared<BenchFlags>();
  flags->model.add_to(command);
  command.add_option("--prompt", flags->request.prompt, "Tokens of the prompt; 0: none")
      ->check(bounds(0, 1 << 16))
      ->capture_default_str();
  command.add_option("--batches", flags->request.batches, "Sequences decoded at once, between commas")
      ->delimiter(',')
      ->capture_default_str();
  command.add_option("--seconds", flags->request.seconds, "Duration of each measurement")
      ->check(number_bounds(0.01, 600, "0.01 to 600"))
      ->capture_default_str();
  command.add_option("--rounds", flags->request.rounds, "Measurements, of which the median counts")
      ->check(bounds(1, 1000))
      ->capture_default_str();
  command.add_flag("--json", flags->json, "Print JSON");
  const std::string random = "A random model", other = "Other measurements";
  command
      .add_option("--random", flags->random,
                  "Instead of a model file: random weights of this size, as rwkv7:1.5B or rwkv7:24x2048 "
                  "(default: none)")
      ->group(random);
  add_type_option(command, flags->type, "Type of its matrices")
      ->capture_default_str()
      ->needs("--random")
      ->group(random);
  command.add_option("--vocabulary", flags->vocabulary, "Number of its tokens")
      ->check(bounds(2, 1 << 20))
      ->capture_default_str()
      ->needs("--random")
      ->group(random);
  command.add_flag("--machine", flags->machine, "Only measure the machine")->group(other);
  command
      .add_option(
          "--long", flags->long_run,
          "Instead: decode so many tokens (whole hundreds), time and memory on the way (default: none)")
      ->check(bounds(100))
      ->group(other);
  command.add_option("--plots", flags->plots, "The folder for the two figures of --long (default: none)")
      ->needs("--long")
      ->group(other);
  return [flags, &command] {
    ModelFlags::refuse_beside(command, "--random");
    ModelFlags::refuse_beside(command, "--machine");
    refuse_beside(command, "--machine",
                  {"--random", "--long", "--prompt", "--batches", "--seconds", "--rounds", "--precision"});
    refuse_beside(command, "--long", {"--json", "--prompt", "--batches", "--seconds", "--rounds"});
    return bench(*flags);
  };
}

const Registration bench_command({"bench", CommandGroup::study, 3,
                                  "How fast a model runs here, and how much of the machine that uses",
                                  add_bench});

}  // namespace
}  // namespace aviary::cli
