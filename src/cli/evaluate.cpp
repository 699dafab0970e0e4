// aviary evaluate: measures how well a model predicts a text.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/human.h"
#include "base/interrupt.h"
#include "base/progress.h"
#include "cli/cli.h"
#include "eval/evaluate.h"
#include "models/cost.h"

namespace aviary::cli {
namespace {

struct Flags {
  ModelFlags model;
  BeginFlags begin;
  std::string text;
  bool json = false;
};

int evaluate_text(const Flags& flags) {
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
    nlohmann::ordered_json json{{"model", loaded.path.string()},
                                {"text", flags.text},
                                {"bytes", result.bytes},
                                {"tokens", result.tokens},
                                {"loss", result.loss()},
                                {"perplexity", result.perplexity()},
                                {"bits_per_byte", result.bits_per_byte()}};
    json["begins_with_end_of_text"] = begun;
    if (window > 0) json["window"] = window;
    fmt::print("{}\n", json.dump(2, ' ', true, nlohmann::ordered_json::error_handler_t::replace));
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

Action add_evaluate(CLI::App& command) {
  auto flags = std::make_shared<Flags>();
  command
      .add_option("model", flags->model.path,
                  "A model file, a folder of Hugging Face, or the folder of a run")
      ->required();
  command.add_option("text", flags->text, "The file with the text to predict; -: the standard input")
      ->required();
  command.add_flag("--json", flags->json, "Print JSON");
  flags->model.add_running_to(command);
  flags->begin.add_to(command);
  return [flags] { return evaluate_text(*flags); };
}

const Registration registration({"evaluate", CommandGroup::first, 3,
                                 "Loss, perplexity and bits per byte of a model on a text", add_evaluate});

}  // namespace
}  // namespace aviary::cli
