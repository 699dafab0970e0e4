// aviary generate: generates text with a model and prints it as it is generated.
#include <fmt/format.h>

#include <random>

#include "base/error.h"
#include "base/human.h"
#include "base/interrupt.h"
#include "checkpoints/state_file.h"
#include "cli/cli.h"
#include "infer/generate.h"
#include "models/cost.h"
#include "models/registry.h"
#include "text/utf8.h"

namespace aviary::cli {
namespace {

struct Flags {
  ModelFlags model;
  std::string prompt, state;
  GenerateOptions options;
  std::optional<uint64_t> seed;
};

// The prompt as shown: invalid UTF-8 becomes U+FFFD; the model reads the original bytes.
std::string printable(std::string_view text) {
  Utf8Stream characters;
  const std::string whole = characters.push(text);
  return whole + characters.flush();
}

int generate_text(const Flags& flags) {
  const Sampler checked(flags.options.sampling);  // rejects invalid options before anything is read or shown
  for (const std::string& stop : flags.options.stop)
    require(is_utf8(stop) && !stop.empty(), "--stop is \"{}\", expected some text in UTF-8", printable(stop));
  LoadedModel loaded = flags.model.load();
  const Tokenizer& tokenizer = require_tokenizer(loaded);
  Runner runner(*loaded.model);
  GenerateOptions options = flags.options;
  options.sampling.seed = flags.seed.value_or(std::random_device{}());
  State start;
  if (!flags.state.empty()) {
    start = load_state(flags.state, *loaded.model);
    options.start = &start;
  }
  InterruptGuard guard;
  fmt::print("{}", printable(flags.prompt));
  std::fflush(stdout);
  options.go_on = [&] { return !guard.interrupted(); };
  const Generation result = generate(runner, tokenizer, flags.prompt, options, [&](std::string_view text) {
    fmt::print("{}", text);
    std::fflush(stdout);
    return true;
  });
  fmt::print("\n");
  std::fflush(stdout);  // before the statistics on stderr
  if (flags.model.quiet) return 0;
  auto rate = [](int64_t tokens, double seconds) {
    return human_rate(seconds > 0 ? static_cast<double>(tokens) / seconds : 0, "tokens");
  };
  fmt::print(stderr, "[prompt: {} tokens, {}; text: {} tokens, {}; seed {}]\n",
             with_commas(result.prompt_tokens), rate(result.prompt_tokens, result.prompt_seconds),
             with_commas(result.tokens), rate(result.tokens, result.seconds), options.sampling.seed);
  if (result.guessed > 0)
    fmt::print(stderr, "[guessed {} tokens, {} of them right]\n", with_commas(result.guessed),
               with_commas(result.guessed_right));
  fmt::print(stderr, "[{}: {}]\n", model_version(loaded.model->config().version).title,
             describe(token_cost(*loaded.model)));
  return guard.interrupted() ? 130 : 0;
}

// Rarely needed options.
void add_sampling(CLI::App& command, SamplerOptions& sampling) {
  auto add = [&](const char* name, auto& value, const char* help) {
    command.add_option(name, value, help)->capture_default_str()->group("Choice of the next token");
  };
  add("--top-k", sampling.top_k, "Only the K most probable tokens; 0: all");
  add("--top-a", sampling.top_a, "Only tokens with p >= A * max(p)^2; 0: all");
  add("--top-p-x", sampling.top_p_x, "Beside those of --top-p, every token with p >= X; 0: none");
  add("--presence-penalty", sampling.presence_penalty,
      "Subtracted from the logit of every token that was written before");
  add("--frequency-penalty", sampling.frequency_penalty,
      "Subtracted once more for every time that it was written");
  add("--penalty-decay", sampling.penalty_decay, "Factor by which these times fade per token; 1: never");
}

Action add_generate(CLI::App& command) {
  auto flags = std::make_shared<Flags>();
  SamplerOptions& sampling = flags->options.sampling;
  // The default is for chats; stories repeat their words.
  sampling.presence_penalty = sampling.frequency_penalty = 0;
  flags->model.add_to(command);
  command.add_option("--prompt,-p", flags->prompt, "The text to continue (default: none, a new text)");
  command.add_option("--tokens,-n", flags->options.tokens, "Write at most so many tokens")
      ->check(bounds(0))
      ->capture_default_str();
  command
      .add_option("--temperature", sampling.temperature,
                  "Below 1 likelier tokens, above 1 more surprising ones; 0: always the most probable token")
      ->capture_default_str();
  command.add_option("--top-p", sampling.top_p, "Only the most probable tokens whose sum reaches P")
      ->capture_default_str();
  command.add_option("--stop", flags->options.stop, "End before this text; may be repeated (default: none)");
  command.add_option("--seed", flags->seed, "Same seed, same text (default: another one each time)");
  command.add_flag("--quiet,-q", flags->model.quiet, "Print only the text");
  add_sampling(command, sampling);
  command
      .add_option("--state", flags->state,
                  "Begin from this tuned state, a file of blocks.N.att.time_state (default: the model's own)")
      ->group(model_group);
  command
      .add_option("--draft", flags->options.draft,
                  "Guess up to N tokens ahead from the text so far and read them in one step: the same text, "
                  "faster where it repeats itself")
      ->check(bounds(0, 64))
      ->capture_default_str()
      ->group(model_group);
  return [flags] { return generate_text(*flags); };
}

const Registration registration({"generate", CommandGroup::first, 2, "Write text with a model",
                                 add_generate});

}  // namespace
}  // namespace aviary::cli
