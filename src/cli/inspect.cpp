// aviary inspect: describes a model file.
#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <optional>

#include "base/error.h"
#include "base/human.h"
#include "checkpoints/adapter_file.h"
#include "checkpoints/health.h"
#include "checkpoints/state_file.h"
#include "checkpoints/tuning_info.h"
#include "cli/cli.h"
#include "cli/tuned_runs.h"
#include "models/cost.h"
#include "models/recognize.h"
#include "models/registry.h"

namespace aviary::cli {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

struct InspectFlags {
  std::string path;
  bool tensors = false, versions = false, json = false, markdown = false;
  FamilySizes sizes;
};

// The types for which memory is printed.
constexpr Dtype told_types[] = {Dtype::f32, Dtype::bf16, Dtype::q8_0, Dtype::q4_0};

// Everything known about a file.
struct Inspection {
  std::string path;
  int64_t file_bytes = 0;
  std::string version, title, source;  // source: empty for a version that is not supported yet
  ModelConfig config;
  int64_t parameters = 0;
  std::optional<TokenCost> cost;
  std::map<Dtype, int64_t> stored_as;  // numbers by their type
  std::vector<TensorStatistics> statistics;
  Health health;
};

int64_t size_on_disk(const fs::path& path) {
  if (!fs::is_directory(path)) return static_cast<int64_t>(fs::file_size(path));
  int64_t bytes = 0;
  for (const auto& entry : fs::directory_iterator(path))
    if (entry.is_regular_file()) bytes += static_cast<int64_t>(entry.file_size());
  return bytes;
}

// Memory of the weights, with every matrix in this type and the others in f32.
int64_t memory_in(Dtype type, const TensorFile& file) {
  int64_t bytes = 0;
  for (const TensorEntry& tensor : file.tensors()) {
    const bool fits = is_matrix(tensor) && tensor.shape.back() % block_of(type).elements == 0;
    bytes += bytes_of(fits ? type : Dtype::f32, count_of(tensor));
  }
  return bytes;
}

// What a file of tuning says of its training.
std::vector<std::string> notes_of(const BaseInfo& base, const std::string& trained_on) {
  std::vector<std::string> notes;
  if (!base.hash.empty())
    notes.push_back(fmt::format("its base is {} ({}, {}, hash {})", in_quotes(base.name),
                                printable(base.version), printable(base.type), printable(base.hash)));
  if (!trained_on.empty()) notes.push_back("it was trained on " + printable(trained_on));
  return notes;
}

Inspection look_at(const fs::path& path, const TensorFile& file) {
  const std::string where = path.string();
  Inspection found;
  found.path = where;
  found.file_bytes = size_on_disk(path);
  const std::optional<Recognition> recognized = recognize(shapes_of(file));
  if (const std::optional<StateSizes> state = recognize_state(file)) {
    found.version = "state";
    found.title = describe(*state);
    found.source = "for aviary generate --state";
    found.config.n_layer = state->layers;
    found.config.n_embd = state->width > 0 ? state->width : state->heads * state->head_size;
    found.config.head_size = state->head_size;
  } else if (recognized && !recognized->runnable && recognized->missing.empty()) {
    found.version = recognized->name;
    found.title = recognized->title;
    found.config = recognized->config;
  } else {
    const std::unique_ptr<Model> model = prepare_model(file, where);
    const ModelVersion& version = model_version(model->config().version);
    found.version = version.name;
    found.title = version.title;
    found.source = version.source;
    found.config = model->config();
    found.cost = token_cost(*model);
    tokenizer_of(file, where, found.config);  // rejects one that is damaged or of another model
  }
  for (const TensorEntry& tensor : file.tensors()) {
    found.parameters += count_of(tensor);
    found.stored_as[tensor.dtype] += count_of(tensor);
  }
  found.statistics = statistics_of(file);
  found.health = health_of(file, found.statistics);
  found.health.notes.insert(found.health.notes.begin(), file.notes().begin(), file.notes().end());
  if (const std::optional<StateInfo> info = state_info_in(file.metadata(), where))
    for (std::string& note : notes_of(info->base, info->trained_on)) found.health.notes.push_back(note);
  return found;
}

std::string value_of(const TensorFile& file, const char* key) {
  auto found = file.metadata().find(key);
  return found == file.metadata().end() ? std::string() : found->second;
}

std::string shape_of(const TensorEntry& tensor) { return fmt::format("[{}]", fmt::join(tensor.shape, ", ")); }

Json json_of(const TunedRun& run) {
  const TrainConfig& config = run.config;
  Json json{{"folder", run.folder.string()},        {"method", name_of(config.tuning.method)},
            {"trained", describe_method(config)},   {"base", config.tuning.base},
            {"base_hash", config.tuning.base_hash}, {"result", run.result.string()},
            {"steps_done", run.progress.steps}};
  if (config.schedule.steps) json["steps"] = *config.schedule.steps;
  if (run.progress.best >= 0)
    json["validation_bits_per_byte"] = run.progress.best, json["best_step"] = run.progress.best_step;
  return json;
}

void print_facts(Json json, const std::optional<TunedRun>& run) {
  if (run) json["run"] = json_of(*run);
  fmt::print("{}\n", json.dump(2, ' ', true, Json::error_handler_t::replace));
}

Json json_of(const Inspection& found, const TensorFile& file) {
  const ModelConfig& config = found.config;
  Json json{{"path", found.path},
            {"format", file.format()},
            {"names", file.dialect().empty() ? "original" : file.dialect()},
            {"version", found.version},
            {"title", found.title},
            {"runs", !found.source.empty()},
            {"layers", config.n_layer},
            {"width", config.n_embd},
            {"vocabulary", config.vocab_size},
            {"head_size", config.head_size},
            {"feed_forward", config.dim_ffn},
            {"parameters", found.parameters},
            {"tokenizer", value_of(file, "aviary.tokenizer")},
            {"tokenizer_hash", value_of(file, "aviary.tokenizer_hash")},
            {"chat_template", value_of(file, "tokenizer.chat_template")},
            {"problems", found.health.problems},
            {"notes", found.health.notes}};
  if (found.cost) json["state_bytes"] = found.cost->state_bytes;
  if (found.cost) json["state_bytes_per_token"] = found.cost->state_growth;
  for (auto [type, count] : found.stored_as) json["stored_as"][std::string(name_of(type))] = count;
  for (Dtype type : told_types) json["memory"][std::string(name_of(type))] = memory_in(type, file);
  for (size_t i = 0; i < found.statistics.size(); ++i) {
    const TensorEntry& tensor = file.tensors()[i];
    const TensorStatistics& numbers = found.statistics[i];
    json["tensors"].push_back({{"name", tensor.name},
                               {"dtype", name_of(tensor.dtype)},
                               {"shape", tensor.shape},
                               {"min", numbers.smallest},
                               {"max", numbers.largest},
                               {"mean", numbers.mean},
                               {"deviation", numbers.deviation},
                               {"not_finite", numbers.broken}});
  }
  return json;
}

void print_sizes(const ModelConfig& config) {
  fmt::print("  {}width {}", config.n_layer ? fmt::format("layers {}, ", config.n_layer) : "", config.n_embd);
  if (config.vocab_size) fmt::print(", vocabulary {}", with_commas(config.vocab_size));
  if (config.dim_ffn) fmt::print(", feed-forward {}", config.dim_ffn);
  if (config.head_size) {
    const int64_t heads = (config.dim_att ? config.dim_att : config.n_embd) / config.head_size;
    fmt::print(", {} head{} of {}", heads, heads == 1 ? "" : "s", config.head_size);
  }
  fmt::print("\n");
  std::vector<std::string> ranks;
  for (auto [name, rank] :
       {std::pair("decay", config.rank_decay), std::pair("a", config.rank_a), std::pair("v", config.rank_v),
        std::pair("gate", config.rank_gate), std::pair("mix", config.rank_mix)})
    if (rank) ranks.push_back(fmt::format("{} {}", name, rank));
  if (!ranks.empty()) fmt::print("  ranks: {}\n", fmt::join(ranks, ", "));
}

std::string tokenizer_line(const Inspection& found, const TensorFile& file) {
  const std::string kind = printable(value_of(file, "aviary.tokenizer")),
                    hash = printable(value_of(file, "aviary.tokenizer_hash"));
  if (!kind.empty()) return hash.empty() ? kind : fmt::format("{} (hash {})", kind, hash);
  switch (found.config.vocab_size) {
    case 256:
      return "none in the file; 256 tokens are probably bytes";
    case 65536:
      return "none in the file; 65,536 tokens are probably the World vocabulary (--tokenizer FILE)";
    case 50277:
    case 50304:
      return "none in the file; the size is that of GPT-NeoX 20B (--tokenizer FILE)";
    default:
      return "none in the file";
  }
}

void print_contents(const Inspection& found, const TensorFile& file) {
  fmt::print("{}\n  {} ({}), {} file{}, {}\n", printable(found.path), found.title,
             found.source.empty() ? "this program does not run it yet" : found.source, file.format(),
             file.dialect().empty() ? "" : fmt::format(" with the names of {}", file.dialect()),
             human_bytes(found.file_bytes));
  print_sizes(found.config);
  std::vector<std::string> stored, memory;
  for (auto [type, count] : found.stored_as)
    stored.push_back(found.stored_as.size() == 1 ? std::string(name_of(type))
                                                 : fmt::format("{} {}", with_commas(count), name_of(type)));
  for (Dtype type : told_types)
    memory.push_back(fmt::format("{} {}", name_of(type), human_bytes(memory_in(type, file))));
  fmt::print("  {} parameters: {}\n", with_commas(found.parameters), fmt::join(stored, ", "));
  fmt::print("  memory of the weights: {}\n", fmt::join(memory, ", "));
  if (found.cost)
    fmt::print("  state of one sequence: {} numbers, {}{}\n", with_commas(found.cost->state_bytes / 4),
               human_bytes(found.cost->state_bytes),
               found.cost->state_growth == 0
                   ? ", whatever the length of the text"
                   : fmt::format(", and {} for every token", human_bytes(found.cost->state_growth)));
  if (found.config.vocab_size) fmt::print("  tokenizer: {}\n", tokenizer_line(found, file));
  if (const std::string chat = value_of(file, "tokenizer.chat_template"); !chat.empty())
    fmt::print("  chat template: {}\n", printable(chat.substr(0, chat.find('\n'))));
  if (const std::string step = value_of(file, "aviary.step"); !step.empty())
    fmt::print("  trained for {} steps\n", printable(step));
  if (found.health.problems.empty())
    fmt::print("  health: all numbers are finite, every matrix is trained\n");
  constexpr size_t most = 8;
  for (size_t i = 0; i < std::min(most, found.health.problems.size()); ++i)
    fmt::print("  health: {}\n", printable(found.health.problems[i]));
  if (found.health.problems.size() > most)
    fmt::print("  health: and {} more (--json lists all)\n", found.health.problems.size() - most);
  for (const std::string& note : found.health.notes) fmt::print("  note: {}\n", printable(note));
}

void print_tensors(const Inspection& found, const TensorFile& file) {
  fmt::print("\n{:<36} {:<5} {:<16} {:>10} {:>10} {:>10} {:>10}\n", "tensor", "type", "shape", "min", "max",
             "mean", "deviation");
  for (size_t i = 0; i < found.statistics.size(); ++i) {
    const TensorEntry& tensor = file.tensors()[i];
    const TensorStatistics& numbers = found.statistics[i];
    fmt::print("{:<36} {:<5} {:<16} {:>10.4f} {:>10.4f} {:>10.4f} {:>10.4f}\n", printable(tensor.name),
               name_of(tensor.dtype), shape_of(tensor), numbers.smallest, numbers.largest, numbers.mean,
               numbers.deviation);
  }
}

int inspect_adapter(const InspectFlags& flags, const fs::path& path, const std::optional<TunedRun>& run) {
  require(!flags.tensors, "{}: this is an adapter, on which --tensors would have no effect; leave it out",
          path.string());
  const AdapterFile adapter = read_adapter(path);
  const AdapterInfo info = adapter.info.value_or(AdapterInfo{});
  if (flags.json) {
    Json json{
        {"path", path.string()},         {"adapter", adapter.kind},     {"base_hash", info.base.hash},
        {"base_type", info.base.type},   {"base_name", info.base.name}, {"base_version", info.base.version},
        {"trained_on", info.trained_on}, {"matrices", Json::object()},  {"whole", Json::array()}};
    if (adapter.alpha) json["alpha"] = *adapter.alpha;
    for (const AdapterMatrix& matrix : adapter.matrices) json["matrices"][matrix.name] = matrix.rank;
    for (const TensorEntry& tensor : adapter.whole) json["whole"].push_back(tensor.name);
    print_facts(std::move(json), run);
    return 0;
  }
  fmt::print("{}\n  {}; for --adapter, {}\n", printable(path.string()), printable(describe(adapter)),
             human_bytes(size_on_disk(path)));
  if (adapter.alpha) fmt::print("  alpha {}\n", *adapter.alpha);
  for (const std::string& note : notes_of(info.base, info.trained_on)) fmt::print("  note: {}\n", note);
  for (const std::string& note : adapter.table.notes) fmt::print("  note: {}\n", printable(note));
  return 0;
}

int inspect(const InspectFlags& flags) {
  if (flags.versions)
    return list_versions(flags.sizes, flags.json       ? ListForm::json
                                      : flags.markdown ? ListForm::markdown
                                                       : ListForm::text);
  const std::optional<TunedRun> run = tuned_run_at(flags.path);
  if (run && !fs::exists(run->result) && flags.json) print_facts(Json::object(), run);
  if (run && !flags.json) fmt::print("{}\n", describe(*run));
  if (run && !fs::exists(run->result)) return 0;
  const fs::path path = run ? run->result : find_model(flags.path);
  if (looks_like_adapter(path)) return inspect_adapter(flags, path, run);
  const TensorFile file = read_tensor_file(path);
  const Inspection found = look_at(path, file);
  if (flags.json) {
    print_facts(json_of(found, file), run);
  } else {
    print_contents(found, file);
    if (flags.tensors) print_tensors(found, file);
  }
  return found.health.problems.empty() ? 0 : 1;
}

Action add_inspect(CLI::App& command) {
  auto flags = std::make_shared<InspectFlags>();
  command.add_option("model", flags->path,
                     "A model, state or adapter file, a folder of Hugging Face, or the folder of a run "
                     "(default: the newest run)");
  command.add_flag("--tensors", flags->tensors, "List every tensor with its statistics");
  command.add_flag("--json", flags->json, "Print JSON");
  const std::string family = "Versions";
  auto* versions =
      command.add_flag("--versions", flags->versions, "List the versions that this program knows")
          ->group(family);
  auto add_size = [&](const char* name, int64_t& value, const char* help) {
    command.add_option(name, value, help)->needs(versions)->capture_default_str()->group(family);
  };
  add_size("--layers", flags->sizes.layers, "Layers of the models whose parameters are counted");
  add_size("--width", flags->sizes.width, "Width of these models");
  add_size("--vocabulary", flags->sizes.vocabulary, "Number of their tokens");
  command.add_flag("--markdown", flags->markdown, "Print the versions as a Markdown table")
      ->needs(versions)
      ->group(family);
  return [flags, &command] {
    refuse_beside(command, "--versions", {"model", "--tensors"});
    refuse_beside(command, "--markdown", {"--json"});
    return inspect(*flags);
  };
}

const Registration inspect_command({"inspect", CommandGroup::files, 1,
                                    "Say what a model file is; list the versions of the family",
                                    add_inspect});

}  // namespace
}  // namespace aviary::cli
