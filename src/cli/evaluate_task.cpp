#include "cli/evaluate_task.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "base/human.h"
#include "base/interrupt.h"
#include "base/json.h"
#include "base/progress.h"
#include "cli/outputs.h"
#include "eval/memory_tasks.h"
#include "eval/paired.h"
#include "eval/task.h"

namespace aviary::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr int64_t largest_file = int64_t{1} << 30;

bool is_lambada(const std::string& task) { return task.starts_with("lambada"); }

void print_task(const Json& json) {
  fmt::print("{}\n", json.dump(2, ' ', true, Json::error_handler_t::replace));
}

// What --out keeps, and --against reads again.
Json result_json(const std::string& task, const std::string& model, const TaskResult& result) {
  Json json{
      {"task", task}, {"model", model}, {"items", result.items.size()}, {"accuracy", result.accuracy()}};
  json["accuracy_stderr"] = result.error_of(result.accuracy());
  if (is_lambada(task)) {
    json["perplexity"] = result.perplexity();
  } else {
    json["acc_norm"] = result.accuracy_by_characters();
    json["acc_bytes"] = result.accuracy_by_bytes();
  }
  return json;
}

void write_result(const std::string& path, Json json, const TaskResult& result) {
  for (const char* key : {"log_likelihoods", "right"}) json[key] = Json::array();
  for (const ItemResult& item : result.items) {
    json["log_likelihoods"].push_back(item.log_likelihood);
    json["right"].push_back(item.right);
  }
  write_file_atomically(path, json.dump(1, ' ', true, Json::error_handler_t::replace) + "\n");
}

TaskResult read_result(const std::string& path, const std::string& task) {
  const auto json = parse_json(read_file(path, largest_file), path);
  const auto key = [&](const char* name) {
    return json.is_object() ? json.value(name, nlohmann::json()) : json;
  };
  const auto likelihoods = key("log_likelihoods"), right = key("right");
  require(
      key("task") == task && likelihoods.is_array() && right.is_array() && likelihoods.size() == right.size(),
      "{}: is no result of --task {} that --out of aviary evaluate wrote", path, task);
  TaskResult result;
  for (size_t i = 0; i < right.size(); ++i) {
    require(likelihoods[i].is_number() && right[i].is_boolean(), "{}: item {} is broken", path, i);
    result.items.push_back({.log_likelihood = likelihoods[i], .right = right[i]});
  }
  return result;
}

struct Job {
  const TaskFlags& flags;
  const BeginFlags& begin;
  std::vector<TaskItem> items;
  const InterruptGuard& guard;
};

// Throws Interrupted.
TaskResult run_task(const Job& job, const LoadedModel& loaded) {
  const Tokenizer& tokenizer = require_tokenizer(loaded);
  const bool apart = job.flags.task == "lambada-blinkdl";
  std::optional<int32_t> begin;
  if (job.begin.begin_token)
    begin = job.begin.token(loaded);
  else if (apart)
    begin = tokenizer.end_of_text();
  Runner runner(*loaded.model);
  Progress progress({.label = job.flags.task, .total = std::ssize(job.items), .unit = "items"});
  const TaskResult result = run_task(runner, tokenizer, job.items, apart ? TaskForm::apart : TaskForm::joined,
                                     begin, [&](int64_t done) {
                                       progress.update(done);
                                       return !job.guard.interrupted();
                                     });
  progress.finish();
  if (job.guard.interrupted()) throw Interrupted();
  return result;
}

void print_result(const std::string& task, const std::string& model, const TaskResult& result) {
  const auto share = [&](double value) {
    return fmt::format("{:.4f} ± {:.4f}", value, result.error_of(value));
  };
  fmt::print("{}\n{}: {} items   acc {}", model, task, with_commas(std::ssize(result.items)),
             share(result.accuracy()));
  if (is_lambada(task))
    fmt::print("   perplexity {:.3f} per word\n", result.perplexity());
  else
    fmt::print("   acc_norm {}   acc_bytes {}\n", share(result.accuracy_by_characters()),
               share(result.accuracy_by_bytes()));
}

Json compare_results(const TaskResult& first, const TaskResult& second, const std::string& other) {
  require(first.items.size() == second.items.size(), "--against {}: has {} items, expected the same {}",
          other, second.items.size(), first.items.size());
  std::vector<double> likelihoods, right;
  int64_t only_first = 0, only_second = 0;
  for (size_t i = 0; i < first.items.size(); ++i) {
    const ItemResult &a = first.items[i], &b = second.items[i];
    likelihoods.push_back(a.log_likelihood - b.log_likelihood);
    right.push_back(static_cast<double>(a.right) - static_cast<double>(b.right));
    only_first += a.right && !b.right;
    only_second += b.right && !a.right;
  }
  const auto json_of = [](const PairedComparison& result) {
    return Json{{"difference", result.mean}, {"low", result.low}, {"high", result.high}, {"p", result.p}};
  };
  return {{"against", other},
          {"log_likelihood", json_of(paired_bootstrap(likelihoods))},
          {"accuracy", json_of(paired_bootstrap(right))},
          {"only_first_right", only_first},
          {"only_second_right", only_second},
          {"mcnemar_p", mcnemar(only_first, only_second)}};
}

void print_comparison(const Json& json) {
  const auto line = [&](const char* what, const Json& of) {
    fmt::print("  {:<26}{:>+9.4f} ({:+.4f} to {:+.4f})   p = {:.4f}\n", what, of["difference"].get<double>(),
               of["low"].get<double>(), of["high"].get<double>(), of["p"].get<double>());
  };
  fmt::print("against {}\n", json["against"].get<std::string>());
  line("log-likelihood per item", json["log_likelihood"]);
  line("accuracy", json["accuracy"]);
  fmt::print("  right here only: {}, there only: {}   McNemar p = {:.4f}\n",
             json["only_first_right"].get<int64_t>(), json["only_second_right"].get<int64_t>(),
             json["mcnemar_p"].get<double>());
}

int evaluate_items(const TaskFlags& flags, const ModelFlags& model, const BeginFlags& begin,
                   const std::string& file, bool as_json) {
  if (!flags.out.empty()) require_apart(flags.out, {file, model.path, flags.against});
  const std::string bytes = read_input(file, largest_file);
  const InterruptGuard guard;
  Job job{flags, begin, is_lambada(flags.task) ? lambada_items(bytes, file) : choice_items(bytes, file),
          guard};
  if (flags.limit > 0 && flags.limit < std::ssize(job.items))
    job.items.resize(static_cast<size_t>(flags.limit));
  const bool kept = std::filesystem::path(flags.against).extension() == ".json";
  TaskResult other;
  if (kept) other = read_result(flags.against, flags.task);
  const LoadedModel loaded = model.load();
  const TaskResult result = run_task(job, loaded);
  Json json = result_json(flags.task, loaded.path.string(), result);
  if (!flags.out.empty()) write_result(flags.out, json, result);
  if (!as_json) print_result(flags.task, loaded.path.string(), result);
  if (!flags.against.empty()) {
    if (!kept) {
      ModelFlags second = model;
      second.path = flags.against;
      other = run_task(job, second.load());
      if (!as_json) print_result(flags.task, flags.against, other);
    }
    json["comparison"] = compare_results(result, other, flags.against);
    if (!as_json) print_comparison(json["comparison"]);
  }
  if (as_json) print_task(json);
  return 0;
}

int evaluate_memory(const TaskFlags& flags, const ModelFlags& model, bool as_json) {
  const LoadedModel loaded = model.load();
  Runner runner(*loaded.model);
  const int64_t trained = loaded.model->config().ctx_len;
  const int64_t longest = flags.length > 0 ? flags.length : std::max<int64_t>(64, 4 * trained);
  const InterruptGuard guard;
  Progress progress({.label = flags.task, .unit = "sequences"});
  const std::vector<MemoryLength> lengths = remember(
      runner, require_tokenizer(loaded), flags.task == "copy" ? MemoryTask::copy : MemoryTask::recall,
      longest, flags.sequences, flags.seed, [&](int64_t done) {
        progress.update(done);
        return !guard.interrupted();
      });
  progress.finish();
  if (guard.interrupted()) return interrupt_exit_code();
  Json json{{"task", flags.task}, {"model", loaded.path.string()}, {"trained_context", trained}};
  json["lengths"] = Json::array();
  for (const auto& [tokens, accuracy, loss] : lengths)
    json["lengths"].push_back({{"tokens", tokens}, {"accuracy", accuracy}, {"loss", loss}});
  if (as_json) {
    print_task(json);
    return 0;
  }
  fmt::print("{}: {} random sequences of each length, trained on {} tokens\n", flags.task, flags.sequences,
             with_commas(trained));
  fmt::print("{:>10}   accuracy   loss, nats per token\n", "tokens");
  for (const auto& [tokens, accuracy, loss] : lengths)
    fmt::print("{:>10}   {:>8.4f}   {:.4f}\n", with_commas(tokens), accuracy, loss);
  return 0;
}

}  // namespace

void TaskFlags::add_to(CLI::App& command) {
  constexpr const char* group = "Tasks";
  CLI::Option* option =
      command
          .add_option(
              "--task", task,
              "Instead of the loss of a text: lambada or lambada-blinkdl (rows with \"text\", by the "
              "definition of lm-evaluation-harness or of BlinkDL), choices (rows of ARC, PIQA, HellaSwag, "
              "WinoGrande, MMLU), copy or recall (made sequences, no file) (default: none)")
          ->check(CLI::IsMember({"lambada", "lambada-blinkdl", "choices", "copy", "recall"}))
          ->group(group);
  command
      .add_option(
          "--against", against,
          "Compare with this model, or with a result that --out wrote (.json), item by item (default: none)")
      ->needs(option)
      ->group(group);
  command.add_option("--out", out, "Write the result of every item into this file, .json (default: none)")
      ->needs(option)
      ->group(group);
  command.add_option("--limit", limit, "Only the first so many items (default: all)")
      ->check(bounds(1))
      ->needs(option)
      ->group(group);
  command
      .add_option("--length", length,
                  "The longest sequence of copy and recall (default: 4 times the trained context)")
      ->check(bounds(8, int64_t{1} << 24))
      ->needs(option)
      ->group(group);
  command.add_option("--sequences", sequences, "Sequences of each length of copy and recall")
      ->check(bounds(1, 100000))
      ->capture_default_str()
      ->needs(option)
      ->group(group);
  command.add_option("--seed", seed, "Seed of the sequences of copy and recall; random: draw one")
      ->capture_default_str()
      ->needs(option)
      ->group(group);
}

int evaluate_task(const TaskFlags& flags, const ModelFlags& model, const BeginFlags& begin,
                  const std::string& file, bool json) {
  const bool memory = flags.task == "copy" || flags.task == "recall";
  require(memory != !file.empty(), "--task {} {}", flags.task,
          memory ? "makes its sequences itself; leave out the file" : "needs a file of rows");
  try {
    return memory ? evaluate_memory(flags, model, json) : evaluate_items(flags, model, begin, file, json);
  } catch (const Interrupted&) {
    return interrupt_exit_code();
  }
}

}  // namespace aviary::cli
