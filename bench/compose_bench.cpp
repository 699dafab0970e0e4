// What a model knows after two texts, by the state of reading both and by states that are made of those of
// each text alone, as docs/states.md shows it.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/error.h"
#include "checkpoints/open_model.h"
#include "data/text_file.h"
#include "states/compose.h"
#include "states/mix.h"

namespace aviary {
namespace {

struct Flags {
  std::string model, text;
  int64_t length = 512, next = 64, places = 40;
};

using Tokens = std::span<const int32_t>;

class Comparison {
 public:
  Comparison(Checkpoint& loaded, const Flags& flags)
      : loaded_(loaded), flags_(flags), runner_(*loaded.model) {}

  void add(Tokens a, Tokens b, Tokens next) {
    const StoredSnapshot of_a = after(a), of_b = after(b);
    const MixPart parts[] = {{&of_a}, {&of_b}};
    State both = of_a.snapshot.state;
    read(b, both);
    const StoredSnapshot forth = composed(runner_, runner_.new_state(), of_a, of_b);
    const StoredSnapshot back =
        with_shifts(composed(runner_, runner_.new_state(), of_b, of_a), of_b.snapshot.state);
    const MixPart orders[] = {{&back}, {&forth}};
    truth_ = log_probabilities(next, both);
    row("both texts read", next, both);
    row("the second text alone", next, of_b.snapshot.state);
    row("sum", next, mixed(parts, false).snapshot.state);
    row("mean", next, mixed(parts, true).snapshot.state);
    row("composed, first then second", next, forth.snapshot.state);
    row("composed, second then first", next, back.snapshot.state);
    row("mean of both orders", next, mixed(orders, true).snapshot.state);
    for (size_t i = 1; i < next.size(); ++i) bytes_ += std::ssize(loaded_.tokenizer->bytes_of(next[i]));
    predicted_ += std::ssize(next) - 1;
  }

  void print(const std::string& version) const {
    for (const Row& row : rows_)
      fmt::print("| {} | {} | {} | {:.3f} | {:.4f} |\n", version, flags_.length, row.name,
                 row.bits / static_cast<double>(bytes_), row.divergence / static_cast<double>(predicted_));
  }

 private:
  struct Row {
    std::string name;
    double bits = 0, divergence = 0;
  };

  StoredSnapshot after(Tokens tokens) {
    StoredSnapshot stored{.tokens = {tokens.begin(), tokens.end()}, .maker = {.base = {.name = "the model"}}};
    stored.snapshot.state = runner_.new_state();
    read(tokens, stored.snapshot.state);
    return stored;
  }

  void read(Tokens tokens, State& state) {
    for (size_t begin = 0; begin < tokens.size(); begin += 256) {
      const Tokens part = tokens.subspan(begin, std::min<size_t>(256, tokens.size() - begin));
      runner_.logits(part, Sequences::uniform(1, std::ssize(part)), state, {});
    }
  }

  // What follows follows the second text, in every row of the table.
  static StoredSnapshot with_shifts(StoredSnapshot stored, const State& of) {
    for (size_t part = 0; part < of.size(); ++part)
      if (of.layout().specs()[part].kind == StateKind::shift) copy(of[part], stored.snapshot.state[part]);
    return stored;
  }

  // [next.size() - 1, V]: of every token after the first of `next`.
  std::vector<std::vector<double>> log_probabilities(Tokens next, State state) {
    const Tensor logits = runner_.all_logits(next, Sequences::uniform(1, std::ssize(next)), state);
    std::vector<std::vector<double>> all;
    for (int64_t t = 0; t + 1 < std::ssize(next); ++t) {
      const float* row = logits.as<float>() + t * logits.cols();
      std::vector<double>& own = all.emplace_back(row, row + logits.cols());
      const double top = *std::max_element(own.begin(), own.end());
      double sum = 0;
      for (const double logit : own) sum += std::exp(logit - top);
      for (double& logit : own) logit -= top + std::log(sum);
    }
    return all;
  }

  void row(const std::string& name, Tokens next, const State& state) {
    const auto found =
        std::find_if(rows_.begin(), rows_.end(), [&](const Row& row) { return row.name == name; });
    Row& row = found == rows_.end() ? rows_.emplace_back(Row{name}) : *found;
    const std::vector<std::vector<double>> logs = log_probabilities(next, state);
    for (size_t t = 0; t < logs.size(); ++t) {
      row.bits -= logs[t][static_cast<size_t>(next[t + 1])] / std::numbers::ln2;
      for (size_t v = 0; v < logs[t].size(); ++v)
        row.divergence += std::exp(truth_[t][v]) * (truth_[t][v] - logs[t][v]) / std::numbers::ln2;
    }
  }

  Checkpoint& loaded_;
  const Flags& flags_;
  Runner runner_;
  std::vector<std::vector<double>> truth_;
  std::vector<Row> rows_;
  int64_t bytes_ = 0, predicted_ = 0;
};

void compare(const Flags& flags) {
  Checkpoint loaded = open_model(flags.model);
  const InputFile file(flags.text);
  std::vector<int32_t> tokens;
  loaded.tokenizer->encode(file.bytes(), tokens);
  const int64_t whole = 2 * flags.length + flags.next;
  require(std::ssize(tokens) >= whole + flags.places, "{}: has {} tokens, expected {} or more", flags.text,
          tokens.size(), whole + flags.places);
  Comparison comparison(loaded, flags);
  const Tokens all = tokens;
  for (int64_t i = 0; i < flags.places; ++i) {
    const int64_t at = i * (std::ssize(tokens) - whole) / flags.places;
    const Tokens texts = all.subspan(static_cast<size_t>(at), static_cast<size_t>(whole));
    const auto length = static_cast<size_t>(flags.length);
    comparison.add(texts.first(length), texts.subspan(length, length), texts.subspan(2 * length));
  }
  comparison.print(loaded.model->config().version);
}

}  // namespace
}  // namespace aviary

int main(int count, char** values) {
  CLI::App app("States of two adjacent texts in one: how the text goes on after each");
  aviary::Flags flags;
  app.add_option("model", flags.model, "A model: a file or the folder of a run")->required();
  app.add_option("text", flags.text, "A text that it was not trained on")->required();
  app.add_option("--length", flags.length, "Tokens of each of the two texts (default: 512)");
  app.add_option("--next", flags.next, "Tokens after them that are predicted (default: 64)");
  app.add_option("--places", flags.places, "Places of the text (default: 40)");
  CLI11_PARSE(app, count, values);
  try {
    aviary::compare(flags);
  } catch (const std::exception& error) {
    fmt::print(stderr, "compose_bench: {}\n", error.what());
    return 1;
  }
  return 0;
}
