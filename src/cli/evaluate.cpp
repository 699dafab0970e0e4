// aviary evaluate: measures how well a model predicts a text.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "base/human.h"
#include "base/interrupt.h"
#include "base/progress.h"
#include "cli/cli.h"
#include "eval/evaluate.h"
#include "models/cost.h"

namespace aviary::cli {
namespace {

constexpr int64_t largest_text = int64_t{16} << 30;

struct Flags {
  ModelFlags model;
  std::string text;
  bool json = false;
};

int evaluate_text(const Flags& flags) {
  LoadedModel loaded = flags.model.load();
  const Tokenizer& tokenizer = require_tokenizer(loaded);
  Runner runner(*loaded.model);
  const std::string text = read_file(flags.text, largest_text);
  require(!text.empty(), "{}: the file is empty", flags.text);
  const std::vector<int32_t> tokens = tokenizer.encode(text);
  InterruptGuard guard;
  Progress progress({.label = "evaluate", .total = static_cast<int64_t>(tokens.size())});
  auto go_on = [&](int64_t done) {
    progress.update(done);
    return !guard.interrupted();
  };
  // A model whose state grows with the text is only trained for contexts of the trained length.
  const bool grows = token_cost(*loaded.model).state_growth > 0;
  const int64_t window = grows ? loaded.model->config().ctx_len : 0;
  const Evaluation result = window > 0 ? evaluate_windows(runner, tokens, tokenizer, window, go_on)
                                       : evaluate(runner, tokens, tokenizer, go_on);
  progress.finish();
  if (guard.interrupted()) return 130;
  if (flags.json) {
    nlohmann::ordered_json json{{"model", loaded.path.string()},
                                {"text", flags.text},
                                {"bytes", result.bytes},
                                {"tokens", result.tokens},
                                {"loss", result.loss()},
                                {"perplexity", result.perplexity()},
                                {"bits_per_byte", result.bits_per_byte()}};
    if (window > 0) json["window"] = window;
    fmt::print("{}\n", json.dump(2, ' ', true, nlohmann::ordered_json::error_handler_t::replace));
  } else {
    fmt::print("{}\n{} bytes, {} tokens predicted, {}\n", flags.text, with_commas(result.bytes),
               with_commas(result.tokens),
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
  command.add_option("text", flags->text, "The file with the text to predict")->required();
  command.add_flag("--json", flags->json, "Print JSON");
  flags->model.add_running_to(command);
  return [flags] { return evaluate_text(*flags); };
}

const Registration registration({"evaluate", CommandGroup::first, 3,
                                 "Loss, perplexity and bits per byte of a model on a text", add_evaluate});

}  // namespace
}  // namespace aviary::cli
