// aviary generate: generates text with a model and prints it as it is generated.
#include <fmt/format.h>

#include <limits>
#include <random>

#include "bank/state_bank.h"
#include "base/error.h"
#include "base/human.h"
#include "base/interrupt.h"
#include "base/platform.h"
#include "base/utf8.h"
#include "cli/bank.h"
#include "cli/cli.h"
#include "cli/grammars.h"
#include "cli/snapshots.h"
#include "cli/texts.h"
#include "infer/generate.h"
#include "models/cost.h"
#include "models/registry.h"

namespace aviary::cli {
namespace {

struct GenerateFlags {
  ModelFlags model;
  PromptFlags prompt;
  BeginFlags begin;
  GenerateOptions options;
  TokenFlags tokens;
  Escapes escapes;
  GrammarFlags grammar;
  bool ignore_end_of_text = false;
  std::optional<uint64_t> seed;
};

void print_statistics(const Generation& result, uint64_t seed, Model& model) {
  auto rate = [](int64_t tokens, double seconds) {
    return human_rate(seconds > 0 ? static_cast<double>(tokens) / seconds : 0, "tokens");
  };
  fmt::print(stderr, "[prompt: {} tokens, {}; text: {} tokens, {}; seed {}]\n",
             with_commas(result.prompt_tokens), rate(result.prompt_tokens, result.prompt_seconds),
             with_commas(result.tokens), rate(result.tokens, result.seconds), seed);
  if (result.guessed > 0)
    fmt::print(stderr, "[guessed {} tokens, {} of them right]\n", with_commas(result.guessed),
               with_commas(result.guessed_right));
  fmt::print(stderr, "[{}: {}]\n", model_version(model.config().version).title, describe(token_cost(model)));
}

int generate_text(const GenerateFlags& flags) {
  GenerateOptions options = flags.options;
  const std::string prompt = flags.prompt.read(flags.escapes, flags.model.quiet);
  for (std::string& stop : options.stop) {
    stop = flags.escapes.read("--stop", stop);
    require(is_utf8(stop) && !stop.empty(), "--stop is \"{}\", expected some text in UTF-8", excerpt(stop));
  }
  const Grammar::Ptr grammar = flags.grammar.grammar();  // before the model: its mistakes are told at once
  LoadedModel loaded = flags.model.load();
  const Tokenizer& tokenizer = require_tokenizer(loaded);
  Runner runner(*loaded.model);
  flags.tokens.apply(options.sampling, tokenizer, loaded.model->config().vocab_size, flags.escapes);
  options.stop_at_end_of_text = !flags.ignore_end_of_text;
  options.sampling.seed = flags.seed.value_or(std::random_device{}());
  BeginFlags begin = flags.begin;
  if (StateBank::is_bank(begin.state))
    begin.state = best_in_bank(loaded, begin.state, prompt, flags.model.quiet);
  const std::optional<State> start = begin.start(loaded, flags.model.force);
  if (start) options.start = &*start;
  options.begin = begin.token(loaded);
  if (find_snapshot(begin.state)) options.read = tokens_before(begin.state);
  options.before = begin.pending();
  options.logits = begin.logits(loaded, flags.model.force);
  // A terminal gets no control characters from a model; a pipe or a file gets the exact bytes.
  const bool terminal = platform::terminal_width(stdout) > 0;
  options.exact_bytes = !terminal;
  const auto show = [&](std::string_view text) {
    fmt::print("{}", terminal ? for_terminal(text) : std::string(text));
    flush_output();
    return true;
  };
  InterruptGuard guard;
  show(prompt);
  options.go_on = [&] { return !guard.interrupted(); };
  const Generation result =
      generate(runner, tokenizer, prompt, options, show, constraint_of(grammar, tokenizer));
  fmt::print("\n");
  std::fflush(stdout);  // before the statistics on stderr
  if (grammar && result.end == TextEnd::length)
    fmt::print(stderr,
               "[cut after {} tokens: the text may not have the form that was asked for; raise --tokens]\n",
               with_commas(result.tokens));
  if (!flags.model.quiet) print_statistics(result, options.sampling.seed, *loaded.model);
  return guard.interrupted() ? interrupt_exit_code() : 0;
}

constexpr double least = std::numeric_limits<double>::min(), most = std::numeric_limits<double>::max();

// Rarely needed options.
void add_sampling(CLI::App& command, SamplerOptions& sampling, TokenFlags& tokens) {
  const std::string group = "Choice of the next token";
  auto add = [&](const char* name, auto& value, const CLI::Validator& limits, const char* help) {
    return command.add_option(name, value, help)->check(limits)->capture_default_str()->group(group);
  };
  const CLI::Validator share = number_bounds(0, 1, "0 to 1"),
                       penalty = number_bounds(-1000, 1000, "-1000 to 1000");
  add("--top-k", sampling.top_k, bounds(0), "Only the K most probable tokens; 0: all");
  add("--top-a", sampling.top_a, share, "Only tokens with p >= A * max(p)^2; 0: all");
  add("--top-p-x", sampling.top_p_x, share, "Beside those of --top-p, every token with p >= X; 0: none");
  add("--min-p", sampling.min_p, share, "Only tokens with p >= M * max(p); 0: all");
  add("--repeat-penalty", sampling.repeat_penalty, number_bounds(least, 100, "above 0, to 100"),
      "Divides positive logits of recent tokens and multiplies negative ones; 1: none");
  add("--repeat-last-n", sampling.repeat_last_n, bounds(-1),
      "How many tokens are recent, the prompt's included; -1: all")
      ->needs("--repeat-penalty");
  add("--presence-penalty", sampling.presence_penalty, penalty,
      "Subtracted from the logit of every token that was written before");
  add("--frequency-penalty", sampling.frequency_penalty, penalty,
      "Subtracted once more for every time that it was written");
  add("--penalty-decay", sampling.penalty_decay, share,
      "Factor by which these times fade per token; 1: never")
      ->needs("--frequency-penalty");
  tokens.add_to(command, group);
}

Action add_generate(CLI::App& command) {
  auto flags = std::make_shared<GenerateFlags>();
  SamplerOptions& sampling = flags->options.sampling;
  // The default is for chats; stories repeat their words.
  sampling.presence_penalty = sampling.frequency_penalty = 0;
  flags->model.add_to(command);
  flags->prompt.add_to(command, "The text to continue");
  command.add_option("--tokens,-n", flags->options.tokens, "Write at most so many tokens")
      ->check(bounds(0))
      ->capture_default_str();
  command
      .add_option("--temperature", sampling.temperature,
                  "Below 1 likelier tokens, above 1 more surprising ones; 0: always the most probable token")
      ->check(number_bounds(0, most, "0 or more"))
      ->capture_default_str();
  command.add_option("--top-p", sampling.top_p, "Only the most probable tokens whose sum reaches P")
      ->check(number_bounds(least, 1, "above 0, to 1"))
      ->capture_default_str();
  command.add_option("--stop", flags->options.stop, "End before this text; may be repeated (default: none)");
  command.add_option("--seed", flags->seed,
                     "Same seed, same text; random: draw one (default: another one each time)");
  command.add_flag("--quiet,-q", flags->model.quiet, "Print only the text");
  const std::string text_group = "Texts";
  flags->escapes.add_to(command, "--prompt, --stop, --ban, --bias and --exempt")->group(text_group);
  command
      .add_flag("--ignore-end-of-text", flags->ignore_end_of_text,
                "Write on after an end-of-text token, up to --tokens (to have none at all, --ban it)")
      ->group(text_group);
  flags->grammar.add_to(command);
  add_sampling(command, sampling, flags->tokens);
  flags->begin.add_to(command);
  CLI::Option* state = command.get_option("--state");
  state->description("From a bank (aviary state bank), the state after which the prompt is most probable. " +
                     state->get_description());
  command
      .add_option("--draft", flags->options.draft,
                  "Guess up to N tokens ahead from the text so far and read them in one step: the same text, "
                  "faster where it repeats itself")
      ->check(bounds(0, 64))
      ->capture_default_str()
      ->group(model_group);
  return [flags] { return generate_text(*flags); };
}

const Registration generate_command({"generate", CommandGroup::first, 2, "Write text with a model",
                                     add_generate});

}  // namespace
}  // namespace aviary::cli
