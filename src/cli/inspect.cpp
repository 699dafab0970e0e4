// aviary inspect: what a model file is.
#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/human.h"
#include "cli/cli.h"

namespace aviary::cli {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

struct Flags {
  std::string path;
  bool tensors = false, versions = false, json = false;
};

struct Health {
  int64_t broken = 0;  // NaN or infinite
  double smallest = INFINITY, largest = -INFINITY, mean = 0, deviation = 0;
  bool constant() const { return smallest == largest; }
};

Health health_of(const TensorEntry& tensor) {
  Health health;
  double squares = 0;
  int64_t good = 0;
  for (double value : to_doubles(tensor)) {
    if (!std::isfinite(value)) {
      ++health.broken;
      continue;
    }
    health.smallest = std::min(health.smallest, value);
    health.largest = std::max(health.largest, value);
    health.mean += value;
    squares += value * value;
    ++good;
  }
  if (good == 0) return health;
  health.mean /= static_cast<double>(good);
  health.deviation =
      std::sqrt(std::max(0.0, squares / static_cast<double>(good) - health.mean * health.mean));
  return health;
}

std::string shape_of(const TensorEntry& tensor) { return fmt::format("[{}]", fmt::join(tensor.shape, ", ")); }

int list_versions() {
  fmt::print("{:<8} {:<16} {:>4}  {:<52} {}\n", "name", "title", "year", "recurrence", "source");
  for (const ModelVersion* version : model_versions())
    fmt::print("{:<8} {:<16} {:>4}  {:<52} {}\n", version->name, version->title, version->year,
               version->recurrence, version->source);
  return 0;
}

// Problems of the tensors in words; empty when all is well.
std::vector<std::string> diagnose(const TensorFile& file) {
  std::vector<std::string> problems;
  for (const TensorEntry& tensor : file.tensors()) {
    const Health health = health_of(tensor);
    if (health.broken > 0)
      problems.push_back(fmt::format("{} holds {} numbers that are NaN or infinite", tensor.name,
                                     with_commas(health.broken)));
    else if (tensor.shape.size() == 2 && tensor.name.ends_with(".weight") && health.constant())
      problems.push_back(fmt::format("{} is {} everywhere: untrained", tensor.name, health.smallest));
  }
  return problems;
}

void print_sizes(const ModelConfig& config) {
  fmt::print("  layers {}, width {}, vocabulary {}, feed-forward {}", config.n_layer, config.n_embd,
             with_commas(config.vocab_size), config.dim_ffn);
  if (config.head_size) fmt::print(", {} heads of {}", config.n_embd / config.head_size, config.head_size);
  fmt::print("\n");
  if (config.rank_decay)
    fmt::print("  ranks: decay {}, a {}, v {}, gate {}\n", config.rank_decay, config.rank_a, config.rank_v,
               config.rank_gate);
}

int inspect(const Flags& flags) {
  if (flags.versions) return list_versions();
  const fs::path path = find_model(flags.path);
  const TensorFile file = read_tensor_file(path);
  const ModelVersion& version = model_version(config_of(file, path.string()).version);
  const ModelConfig config = version.complete(config_of(file, path.string()));
  const std::unique_ptr<Model> model = load_checkpoint(path, Dtype::f32, true).model;
  const int64_t parameters = model->parameters().count();
  int64_t state_numbers = 0;
  for (const StateSpec& spec : model->state_specs()) state_numbers += spec.shape.count();
  const std::vector<std::string> problems = diagnose(file);
  auto metadata = [&](const char* key) {
    auto found = file.metadata().find(key);
    return found == file.metadata().end() ? std::string() : found->second;
  };
  const std::string tokenizer = metadata("aviary.tokenizer"), hash = metadata("aviary.tokenizer_hash");

  if (flags.json) {
    Json json{{"path", path.string()},
              {"format", file.format()},
              {"version", config.version},
              {"title", version.title},
              {"layers", config.n_layer},
              {"width", config.n_embd},
              {"vocabulary", config.vocab_size},
              {"head_size", config.head_size},
              {"feed_forward", config.dim_ffn},
              {"parameters", parameters},
              {"tokenizer", tokenizer},
              {"tokenizer_hash", hash},
              {"state_bytes", state_numbers * 4},
              {"problems", problems}};
    for (const TensorEntry& tensor : file.tensors())
      json["tensors"].push_back(
          {{"name", tensor.name}, {"dtype", name_of(tensor.dtype)}, {"shape", tensor.shape}});
    fmt::print("{}\n", json.dump(2, ' ', false, Json::error_handler_t::replace));
    return problems.empty() ? 0 : 1;
  }
  fmt::print("{}\n  {} ({}), {} file, {}\n", path.string(), version.title, version.source, file.format(),
             human_bytes(static_cast<int64_t>(fs::file_size(path))));
  print_sizes(config);
  fmt::print("  {} parameters: {} in f32, {} in bf16\n", with_commas(parameters), human_bytes(parameters * 4),
             human_bytes(parameters * 2));
  fmt::print("  state of one sequence: {} numbers, {}, whatever the length of the text\n",
             with_commas(state_numbers), human_bytes(state_numbers * 4));
  fmt::print("  tokenizer: {}\n",
             tokenizer.empty() ? "none in the file" : fmt::format("{} (hash {})", tokenizer, hash));
  if (!metadata("aviary.step").empty()) fmt::print("  trained for {} steps\n", metadata("aviary.step"));
  if (problems.empty()) fmt::print("  health: all numbers are finite, every matrix is trained\n");
  for (const std::string& problem : problems) fmt::print("  health: {}\n", problem);
  if (flags.tensors) {
    fmt::print("\n{:<36} {:<5} {:<16} {:>10} {:>10} {:>10} {:>10}\n", "tensor", "type", "shape", "min", "max",
               "mean", "deviation");
    for (const TensorEntry& tensor : file.tensors()) {
      const Health health = health_of(tensor);
      fmt::print("{:<36} {:<5} {:<16} {:>10.4f} {:>10.4f} {:>10.4f} {:>10.4f}\n", tensor.name,
                 name_of(tensor.dtype), shape_of(tensor), health.smallest, health.largest, health.mean,
                 health.deviation);
    }
  }
  return problems.empty() ? 0 : 1;
}

}  // namespace

Action add_inspect(CLI::App& command) {
  auto flags = std::make_shared<Flags>();
  command.add_option("model", flags->path, "A model file or the folder of a run (default: the newest run)");
  command.add_flag("--tensors", flags->tensors, "List every tensor with its statistics");
  command.add_flag("--versions", flags->versions, "List the versions of RWKV that this program knows");
  command.add_flag("--json", flags->json, "Print JSON");
  return [flags] { return inspect(*flags); };
}

}  // namespace aviary::cli
