// Finds and loads the model of a command.
#include <fmt/format.h>

#include <charconv>

#include "base/error.h"
#include "base/files.h"
#include "base/interrupt.h"
#include "base/progress.h"
#include "checkpoints/packed_file.h"
#include "cli/cli.h"
#include "cli/outputs.h"

namespace aviary::cli {
namespace {

namespace fs = std::filesystem;

constexpr const char* model_file = "model.safetensors";
// What --force applies to; --state is not an option of every command.
constexpr const char* forced[] = {"--tokenizer", "--adapter", "--state"};

// Progress while the cache is written.
struct CacheWriting {
  explicit CacheWriting(int64_t total)
      : line({.label = "write the cache", .total = total, .unit = "MB", .unit_size = 1'000'000}) {}
  InterruptGuard guard;
  Progress line;
};

std::string out_of_range(const std::string& text, const std::string& expected) {
  return fmt::format("{} is out of range, expected {}", text, expected);
}

}  // namespace

std::optional<fs::path> newest_run() {
  std::optional<fs::path> newest;
  fs::file_time_type time;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(runs_folder, ignored)) {
    const fs::path model = entry.path() / model_file;
    std::error_code missing;  // or not to be read: the run of another user
    const fs::file_time_type written = fs::last_write_time(model, missing);
    if (missing) continue;
    if (!newest || written > time) {
      newest = model;
      time = written;
    }
  }
  return newest;
}

fs::path find_model(const std::string& path) {
  if (path.empty()) {
    const std::optional<fs::path> newest = newest_run();
    require(newest.has_value(),
            "no model was named and there is no run below {}/ to take; train one first (aviary train "
            "book.txt) or name a file",
            runs_folder);
    return *newest;
  }
  return model_file_at(path);
}

CLI::Validator bounds(int64_t least, int64_t most) {
  const std::string shown =
      most == int64_t{1} << 40 ? fmt::format("{} or more", least) : fmt::format("{} to {}", least, most);
  return {[=](std::string& text) {
            int64_t number = 0;  // of a text that StrictOptions has checked
            std::from_chars(text.data(), text.data() + text.size(), number);
            return least <= number && number <= most ? "" : out_of_range(text, shown);
          },
          shown};
}

CLI::Validator number_bounds(double least, double most, const std::string& shown) {
  return {[=](std::string& text) {
            double number = 0;
            std::from_chars(text.data(), text.data() + text.size(), number);
            return least <= number && number <= most ? "" : out_of_range(text, shown);
          },
          shown};
}

void refuse_beside(const CLI::App& command, const std::string& given,
                   std::initializer_list<const char*> others) {
  if (command.count(given) == 0) return;
  for (const char* other : others)
    require(command.count(other) == 0,
            "{} is given, and beside it {} would have no effect; leave one of them out", given, other);
}

void ModelFlags::add_to(CLI::App& command) {
  command.add_option(
      "model", path,
      "A model file, a folder of Hugging Face, or the folder of a run (default: the newest run)");
  add_running_to(command);
}

void ModelFlags::add_running_to(CLI::App& command) {
  command
      .add_option("--tokenizer", tokenizer,
                  fmt::format("Its tokenizer: {} (default: the model's own)", tokenizer_kinds))
      ->group(model_group);
  command
      .add_flag(
          "--force", force,
          "Take --tokenizer, --adapter and --state also where they say that they belong to another model")
      ->group(model_group);
  command.parse_complete_callback([&command] {
    const bool given = std::ranges::any_of(forced, [&](const char* name) {
      const CLI::Option* option = command.get_option_no_throw(name);
      return option && option->count() > 0;
    });
    if (command.count("--force") > 0 && !given)
      throw CLI::RequiresError("--force", fmt::format("one of {}", fmt::join(forced, ", ")));
  });
  command
      .add_option(
          "--precision", precision,
          "Of products with float32 weights: f32 or bf16 (default: bf16 where most weights of the file "
          "have no more bits, else f32)")
      ->check(CLI::IsMember({"f32", "bf16"}))
      ->group(model_group);
  command
      .add_option("--adapter", adapters,
                  "Add this adapter, a LoRA or MiSS file of a trainer: FILE or FILE,weight=W,alpha=A "
                  "(docs/formats.md); may be repeated (default: none)")
      ->group(model_group);
  command
      .add_flag("--cache", cache,
                "Load the weights as this CPU multiplies them from FILE.packed, which is written the first "
                "time: the model is there at once, and processes share its memory")
      ->group(model_group);
}

void ModelFlags::refuse_beside(const CLI::App& command, const std::string& given) {
  cli::refuse_beside(command, given, {"model", "--tokenizer", "--adapter", "--cache"});
}

std::vector<fs::path> ModelFlags::inputs() const {
  std::vector<fs::path> files{path.empty() ? newest_run().value_or("") : fs::path(path), tokenizer};
  for (const std::string& adapter : adapters)
    for (const fs::path& file : files_of_adapter(adapter_request(adapter))) files.push_back(file);
  return files;
}

WriteProgress write_progress(std::optional<Progress>& line, const InterruptGuard& guard) {
  return [&](int64_t written, int64_t total) {
    if (!line)
      line.emplace(ProgressOptions{
          .label = "write", .total = total, .unit = "MB", .unit_size = 1'000'000, .summary = false});
    line->update(written);
    if (guard.interrupted()) throw Interrupted();
  };
}

void print_notes(const std::vector<std::string>& notes) {
  for (const std::string& note : notes) fmt::print(stderr, "[{}]\n", note);
}

LoadedModel ModelFlags::load() const {
  LoadedModel loaded;
  loaded.path = find_model(path);
  if (precision == "bf16" && kernels::fastest_precision() != kernels::Precision::bf16)
    fmt::print(stderr, "[--precision bf16: {}]\n", kernels::products_of(Dtype::bf16));
  Checkpoint checkpoint = open(loaded.path);
  if (!quiet) print_notes(checkpoint.notes);
  loaded.model = std::move(checkpoint.model);
  loaded.tokenizer = std::move(checkpoint.tokenizer);
  loaded.begin_token = checkpoint.begin_token;
  loaded.adapters = adapters;
  return loaded;
}

Checkpoint ModelFlags::open(const fs::path& file) const {
  OpenOptions options{.tokenizer = tokenizer, .any_tokenizer = force, .precision = asked_precision()};
  for (const std::string& adapter : adapters) {
    options.adapters.push_back(adapter_request(adapter));
    options.adapters.back().any_base = force;
  }
  if (!cache) return open_model(file, options);
  std::optional<CacheWriting> writing;
  auto stop = [&] {
    if (writing && writing->guard.interrupted()) throw Interrupted();
  };
  // Not `inputs()`: the packed weights belong to the model.
  std::vector<fs::path> others{tokenizer};
  for (const AdapterRequest& adapter : options.adapters)
    for (const fs::path& part : files_of_adapter(adapter)) others.push_back(part);
  require_apart(packed_path(file), others);
  PackedCache& packed = options.cache.emplace();
  packed.progress = [&](int64_t written, int64_t total) {
    if (!writing) writing.emplace(total);
    stop();
    if (!quiet) writing->line.update(written);
  };
  packed.not_written = [this](const std::string& reason) {
    if (!quiet) fmt::print(stderr, "[no cache: {}]\n", reason);
  };
  Checkpoint checkpoint = open_model(file, options);
  stop();
  return checkpoint;
}

std::optional<kernels::Precision> ModelFlags::asked_precision() const {
  if (precision.empty()) return {};
  return parse_precision(precision);
}

const Tokenizer& require_tokenizer(const LoadedModel& loaded) {
  require(loaded.tokenizer != nullptr,
          "{}: the file carries no tokenizer and has {} tokens; name its vocabulary with --tokenizer FILE",
          loaded.path.string(), loaded.model->config().vocab_size);
  return *loaded.tokenizer;
}

kernels::Precision parse_precision(const std::string& name) {
  if (name.empty()) return kernels::fastest_precision();
  return name == "bf16" ? kernels::Precision::bf16 : kernels::Precision::f32;
}

}  // namespace aviary::cli
