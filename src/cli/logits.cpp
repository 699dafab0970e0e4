// aviary logits: the distribution of the token after a prompt.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "base/files.h"
#include "base/quotes.h"
#include "cli/cli.h"
#include "cli/outputs.h"
#include "cli/texts.h"
#include "infer/generate.h"

namespace aviary::cli {
namespace {

struct LogitsFlags {
  ModelFlags model;
  std::vector<int32_t> tokens;
  PromptFlags prompt;
  BeginFlags begin;
  std::string raw;
  Escapes escapes;
  int64_t top = 10;
};

void print_top(const std::vector<float>& logits, const Tokenizer* tokenizer, int64_t top) {
  std::vector<size_t> order(logits.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return logits[a] > logits[b]; });
  double sum = 0;
  for (float logit : logits)
    sum += std::exp(static_cast<double>(logit) - static_cast<double>(logits[order[0]]));
  fmt::print("{:>7} {:>12} {:>12}  text\n", "token", "logit", "probability");
  for (size_t i = 0; i < std::min(order.size(), static_cast<size_t>(top)); ++i) {
    const size_t token = order[i];
    const double p =
        std::exp(static_cast<double>(logits[token]) - static_cast<double>(logits[order[0]])) / sum;
    std::string text;
    if (tokenizer) text = '"' + printable(tokenizer->bytes_of(static_cast<int32_t>(token))) + '"';
    fmt::print("{:>7} {:>12.6f} {:>12.8f}  {}\n", token, logits[token], p, text);
  }
}

int print_logits(const LogitsFlags& flags) {
  if (!flags.raw.empty()) {
    std::vector<std::filesystem::path> inputs = flags.model.inputs();
    inputs.insert(inputs.end(), {flags.prompt.file, flags.begin.state});
    require_apart(flags.raw, inputs);
  }
  LoadedModel loaded = flags.model.load();
  Runner runner(*loaded.model);
  std::vector<int32_t> tokens = flags.tokens;
  if (tokens.empty()) tokens = flags.begin.encode(loaded, flags.prompt.read(flags.escapes));
  require(!tokens.empty(),
          "name the tokens (--tokens 1,2,3) or the text (--prompt TEXT) before the one asked for");
  std::optional<State> start = flags.begin.start(loaded, flags.model.force);
  State state = start ? std::move(*start) : runner.new_state();
  const std::vector<float> logits = read_tokens(runner, tokens, state);
  const auto broken = std::ranges::find_if_not(logits, [](float logit) { return std::isfinite(logit); });
  require(broken == logits.end(), "{}: the logit of token {} is {} after these tokens: the model is broken",
          loaded.path.string(), broken - logits.begin(), broken == logits.end() ? 0 : *broken);
  if (!flags.raw.empty()) write_file_atomically(flags.raw, std::as_bytes(std::span(logits)));
  print_top(logits, loaded.tokenizer.get(), flags.top);
  return 0;
}

Action add_logits(CLI::App& command) {
  auto flags = std::make_shared<LogitsFlags>();
  flags->model.add_to(command);
  auto* tokens = command.add_option("--tokens", flags->tokens, "The tokens so far: 1,2,3 (default: none)")
                     ->delimiter(',');
  flags->prompt.add_to(command, "The text so far");
  flags->escapes.add_to(command, "--prompt")->needs("--prompt");
  flags->begin.add_to(command);
  for (const char* of_text : {"--prompt", "--file", "--begin-token"})
    command.get_option(of_text)->excludes(tokens);
  command.add_option("--top", flags->top, "Print so many tokens, the most probable ones")
      ->check(bounds(0, 1 << 20))
      ->capture_default_str();
  command.add_option("--raw", flags->raw,
                     "Write all logits to this file: float32, little-endian (default: none)");
  return [flags] { return print_logits(*flags); };
}

const Registration logits_command({"logits", CommandGroup::study, 4, "The distribution of the next token",
                                   add_logits});

}  // namespace
}  // namespace aviary::cli
