// aviary evaluate: measures how well a model predicts a text.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/human.h"
#include "base/interrupt.h"
#include "base/progress.h"
#include "cli/cli.h"
#include "cli/evaluate_task.h"
#include "eval/evaluate.h"
#include "models/cost.h"

namespace aviary::cli {
namespace {

struct EvaluateFlags {
  ModelFlags model;
  BeginFlags begin;
  TaskFlags task;
  std::string text;
  int64_t by_position = 0, windows = 100;
  bool json = false;
};

using Json = nlohmann::ordered_json;

void print(const Json& json) { fmt::print("{}\n", json.dump(2, ' ', true, Json::error_handler_t::replace)); }

int evaluate_text(const EvaluateFlags& flags) {
  const TextFile text = open_text(flags.text);
  LoadedModel loaded = flags.model.load();
  const Tokenizer& tokenizer = require_tokenizer(loaded);
  Runner runner(*loaded.model);
  const std::vector<int32_t> tokens = flags.begin.encode(loaded, text.text());
  const std::optional<State> start = flags.begin.start(loaded, flags.model.force);
  const bool begun = flags.begin.token(loaded).has_value();
  InterruptGuard guard;
  Progress progress({.label = "evaluate", .total = std::ssize(tokens) - 1});
  // A model whose state grows with the text is only trained for contexts of the trained length.
  const bool grows = token_cost(*loaded.model).state_growth > 0;
  const int64_t window = grows ? loaded.model->config().ctx_len : 0;
  const Evaluation result =
      evaluate(runner, tokens, tokenizer,
               {.window = window, .start = start ? &*start : nullptr, .progress = [&](int64_t done) {
                  progress.update(done);
                  return !guard.interrupted();
                }});
  progress.finish();
  if (guard.interrupted()) return interrupt_exit_code();
  if (flags.json) {
    Json json{{"model", loaded.path.string()},
              {"text", flags.text},
              {"bytes", result.bytes},
              {"tokens", result.tokens},
              {"loss", result.loss()},
              {"perplexity", result.perplexity()},
              {"bits_per_byte", result.bits_per_byte()}};
    json["begins_with_end_of_text"] = begun;
    if (window > 0) json["window"] = window;
    print(json);
  } else {
    fmt::print("{}\n{} bytes, {} tokens predicted{}, {}\n", flags.text, with_commas(result.bytes),
               with_commas(result.tokens), begun ? " after the end-of-text token" : "",
               window > 0 ? fmt::format("in windows of {} tokens, as trained", with_commas(window))
                          : "the state carried from the first to the last");
    fmt::print("loss {:.4f} nats per token   perplexity {:.3f}   {:.4f} bits per byte\n", result.loss(),
               result.perplexity(), result.bits_per_byte());
  }
  return 0;
}

// Positions [first, first + count) of windows, from 0.
struct Positions {
  int64_t first, count;
};

// Those after 1, 2, 3-4, 5-8, 9-16, ... tokens.
std::vector<Positions> doubling(int64_t length) {
  std::vector<Positions> result;
  for (int64_t first = 0, count = 1; first < length; first += count, count = first)
    result.push_back({first, std::min(count, length - first)});
  return result;
}

// The loss after so many tokens of the text, in windows spread over it.
int evaluate_by_position(const EvaluateFlags& flags) {
  const TextFile text = open_text(flags.text);
  require(flags.begin.pending().empty(),
          "--state {}: has tokens that are still to be read, which windows of a text cannot follow; keep one "
          "of a whole text with aviary state make",
          flags.begin.state);
  LoadedModel loaded = flags.model.load();
  Runner runner(*loaded.model);
  // Windows begin anywhere in the text, so none of them begins with the end-of-text token.
  const std::vector<int32_t> tokens = require_tokenizer(loaded).encode(text.text());
  const std::optional<State> start = flags.begin.start(loaded, flags.model.force);
  InterruptGuard guard;
  const int64_t length = flags.by_position;
  const int64_t different = std::max<int64_t>(1, std::ssize(tokens) - length);  // windows of the text
  Progress progress({.label = "evaluate", .total = std::min(flags.windows, different) * length});
  const PositionLoss loss = loss_by_position(
      runner, tokens, length, flags.windows,
      [&](int64_t done) {
        progress.update(done * length);
        return !guard.interrupted();
      },
      start ? &*start : nullptr);
  progress.finish();
  if (guard.interrupted()) return interrupt_exit_code();
  if (flags.json) {
    print({{"model", loaded.path.string()},
           {"text", flags.text},
           {"windows", loss.windows},
           {"loss_by_position", loss.nats}});
    return 0;
  }
  fmt::print("{}\n{} windows of {} tokens, spread evenly over the text\n", flags.text,
             with_commas(loss.windows), with_commas(length));
  fmt::print("{:>15}   loss, nats per token\n", "tokens before");
  for (const auto& [first, count] : doubling(length))
    fmt::print("{:>15}   {:.4f}\n",
               count == 1 ? with_commas(first + 1)
                          : fmt::format("{}-{}", with_commas(first + 1), with_commas(first + count)),
               loss.mean(first, first + count));
  return 0;
}

Action add_evaluate(CLI::App& command) {
  auto flags = std::make_shared<EvaluateFlags>();
  command
      .add_option("model", flags->model.path,
                  "A model file, a folder of Hugging Face, or the folder of a run")
      ->required();
  command.add_option("text", flags->text,
                     "The file with the text to predict, or with the rows of --task; -: the standard input "
                     "(default: none, for --task copy and recall)");
  CLI::Option* by_position =
      command
          .add_option("--by-position", flags->by_position,
                      "The loss after 1, 2, 3, ... of so many tokens instead: what a longer context is worth "
                      "to the model (default: none, the loss of the whole text)")
          ->check(bounds(1, int64_t{1} << 30));
  command.add_option("--windows", flags->windows, "Parts of the text that --by-position reads, at most")
      ->check(bounds(1))
      ->capture_default_str()
      ->needs(by_position);
  command.add_flag("--json", flags->json, "Print JSON");
  flags->model.add_running_to(command);
  flags->begin.add_to(command);
  flags->task.add_to(command);
  return [flags, &command] {
    if (!flags->task.task.empty()) {
      refuse_beside(command, "--task", {"--by-position", "--windows", "--state"});
      const bool memory = flags->task.task == "copy" || flags->task.task == "recall";
      if (memory) refuse_beside(command, "--task", {"--against", "--out", "--limit", "--begin-token"});
      if (!memory) refuse_beside(command, "--task", {"--length", "--sequences", "--seed"});
      return evaluate_task(flags->task, flags->model, flags->begin, flags->text, flags->json);
    }
    require(!flags->text.empty(), "evaluate: name the file with the text to predict");
    if (flags->by_position == 0) return evaluate_text(*flags);
    refuse_beside(command, "--by-position", {"--begin-token"});
    return evaluate_by_position(*flags);
  };
}

const Registration evaluate_command({"evaluate", CommandGroup::first, 3,
                                     "Loss, perplexity and bits per byte of a model on a text",
                                     add_evaluate});

}  // namespace
}  // namespace aviary::cli
