// aviary sweep: trains with different settings and seeds, and compares what they give.
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <map>
#include <set>

#include "base/error.h"
#include "base/files.h"
#include "base/human.h"
#include "base/interrupt.h"
#include "base/platform.h"
#include "cli/cli.h"
#include "cli/outputs.h"
#include "cli/settings.h"
#include "compare/sweep.h"
#include "eval/evaluate.h"
#include "models/registry.h"
#include "train/run_folder.h"

namespace aviary::cli {
namespace {

namespace fs = std::filesystem;

struct SweepFlags {
  std::string text, test, out, preset;
  std::vector<std::string> tries, grid;
  int64_t seeds = 3;
  Asked asked;  // the settings of all runs
};

constexpr int64_t largest_swept_vocabulary = 64 << 20;

// A variant as it is asked for.
struct Variant {
  std::string flags;
  Asked asked;
};

// The settings of all runs, with the flags of a variant. Throws Error.
Variant parse_variant(const Asked& all, const std::string& flags) {
  Variant variant{flags, all};
  CLI::App app;
  add_settings(app, setting_flags::train, variant.asked);
  add_model_options(app, variant.asked.values.model.options);
  try {
    app.parse(flags);
  } catch (const CLI::ParseError& error) {
    fail(
        "--try \"{}\": {}; expected flags of aviary train, as in --try \"--optimizer muon --learning-rate "
        "0.003\"",
        flags, error.what());
  }
  require(!variant.asked.has("seed") || all.has("seed"),
          "--try \"{}\": the seeds are those of --seeds and --seed", flags);
  return variant;
}

// "learning-rate=0.003,0.006": "--learning-rate 0.003", "--learning-rate 0.006".
std::vector<std::string> values_of(const std::string& axis) {
  const size_t equals = axis.find('=');
  require(
      equals != axis.npos && equals > 0 && equals + 1 < axis.size(),
      "--grid {}: expected the name of a flag, = and values between commas, as in learning-rate=0.003,0.006",
      axis);
  std::vector<std::string> result;
  for (size_t begin = equals + 1; begin <= axis.size();) {
    const size_t end = std::min(axis.find(',', begin), axis.size());
    require(end > begin, "--grid {}: there is an empty value", axis);
    result.push_back(fmt::format("--{} {}", axis.substr(0, equals), axis.substr(begin, end - begin)));
    begin = end + 1;
  }
  return result;
}

// The settings of all alone, those of --try, and each of them with every combination of --grid.
std::vector<Variant> variants_of(const SweepFlags& flags) {
  std::vector<std::string> texts{""};
  texts.insert(texts.end(), flags.tries.begin(), flags.tries.end());
  for (const std::string& axis : flags.grid) {
    std::vector<std::string> more;
    for (const std::string& text : texts)
      for (const std::string& value : values_of(axis))
        more.push_back(text.empty() ? value : text + " " + value);
    texts = more;
  }
  std::vector<Variant> variants;
  for (const std::string& text : texts) variants.push_back(parse_variant(flags.asked, text));
  return variants;
}

// A text as tokens of a vocabulary that was learned from its training part, once for each size and split.
class Texts {
 public:
  Texts(const TextFile& file, const fs::path& folder) : file_(file), folder_(folder) {}

  struct Tokens {
    TokenizerPtr tokenizer;
    std::shared_ptr<const TextData> data;
  };
  // Nothing if Ctrl-C stopped learning it.
  std::optional<Tokens> with(const TrainConfig& config) {
    const auto key = std::pair(config.model.vocab_size, config.validation_bytes);
    if (!known_.contains(key)) {
      const SplitText split = split_text(file_.text(), config.validation_bytes);
      const TokenizerPtr tokenizer = tokenizer_for(config.model.vocab_size, split.train);
      if (!tokenizer) return {};
      known_[key] = {tokenizer, std::make_shared<TextData>(Corpus(split, *tokenizer))};
    }
    return known_.at(key);
  }

 private:
  TokenizerPtr tokenizer_for(int64_t size, std::string_view text) const {
    if (size <= 256) return make_bytes_tokenizer();
    // The part that is kept for validation, and so must not be learned from, may differ between variants.
    const fs::path path = folder_ / fmt::format("vocabulary-{}-of-{}-bytes.txt", size, text.size());
    if (fs::exists(path)) return make_world_tokenizer(read_file(path, largest_swept_vocabulary));
    const std::string vocabulary = learn_vocabulary(text, static_cast<int32_t>(size));
    if (vocabulary.empty()) return nullptr;
    write_file_atomically(path, vocabulary);
    return make_world_tokenizer(vocabulary);
  }

  const TextFile& file_;
  fs::path folder_;
  std::map<std::pair<int64_t, int64_t>, Tokens> known_;
};

// The name of a folder: letters, digits, dots and dashes of the flags.
std::string folder_name(const std::string& flags) {
  std::string name;
  for (char c : flags) {
    const bool plain = std::isalnum(static_cast<unsigned char>(c)) || c == '.';
    if (plain)
      name += c;
    else if (!name.empty() && name.back() != '-')
      name += '-';
  }
  while (name.ends_with('-')) name.pop_back();
  return name.empty() ? "all" : name;
}

class Sweeper {
 public:
  Sweeper(const SweepFlags& flags, const TextFile& file, const fs::path& folder)
      : flags_(flags), file_(file), folder_(folder), texts_(file, folder), variants_(variants_of(flags)) {
    sweep_.text = fs::path(flags.text).filename().string();
    for (int64_t i = 0; i < flags.seeds; ++i)
      sweep_.seeds.push_back(flags.asked.values.seed + static_cast<uint64_t>(i));
    for (const Variant& variant : variants_) {
      config_of(variant, sweep_.seeds[0], {});  // rejects invalid settings
      sweep_.variants.push_back(
          {variant.flags, std::vector<std::optional<SweepResult>>(sweep_.seeds.size())});
      require(folders_.insert(folder_name(variant.flags)).second, "\"{}\" is asked for twice", variant.flags);
    }
    if (!flags.test.empty()) test_.emplace(open_text(flags.test));
  }

  // Seed by seed, so that what can be compared is there early. Returns the exit code.
  int run() {
    InterruptGuard guard;
    bool all = true;
    for (size_t seed = 0; seed < sweep_.seeds.size(); ++seed)
      for (size_t v = 0; v < variants_.size(); ++v) {
        const std::optional<SweepEnd> end = run_one(v, seed);
        if (!end || *end == SweepEnd::interrupted || guard.interrupted()) return stopped();
        all = all && *end == SweepEnd::finished;
        write_page();
      }
    fmt::print("\n{}: {}/sweep.html is the page, {}/sweep.csv its numbers.\n",
               all ? "Done" : "Another process trains what is left", folder_.string(), folder_.string());
    return 0;
  }

 private:
  static TrainConfig config_of(const Variant& variant, uint64_t seed, const Facts& facts) {
    Asked asked = variant.asked;
    asked.values.seed = seed;
    asked.given.insert("seed");
    asked.values.sample_every = 0;
    asked.given.insert("sample_every");
    return resolve(asked, facts);
  }

  std::optional<SweepEnd> run_one(size_t v, size_t seed) {
    const Variant& variant = variants_[v];
    const fs::path place = folder_ / folder_name(variant.flags) / std::to_string(sweep_.seeds[seed]);
    std::optional<SweepResult>& result = sweep_.variants[v].results[seed];
    Facts facts{.text = text_facts(file_)};
    const auto tokens = texts_.with(config_of(variant, sweep_.seeds[seed], facts));
    if (!tokens) return {};
    facts.vocabulary = vocabulary_facts(*tokens->tokenizer, std::ssize(tokens->data->corpus().train), false);
    SweepRun run{.config = config_of(variant, sweep_.seeds[seed], facts),
                 .folder = place,
                 .label = fmt::format("seed {}, {} of {}", sweep_.seeds[seed], v + 1, variants_.size()),
                 .tokenizer = tokens->tokenizer,
                 .data = tokens->data};
    if (test_) run.test = [&](Trainer& trainer) { return bits_per_byte(trainer); };
    fmt::print("{}\n", variant.flags.empty() ? "(as all)" : variant.flags);
    const SweepEnd end = run_of_sweep(run);
    if ((result = read_sweep_result(place)))
      fmt::print("  {:.4f} bits per byte of the validation text{}\n", result->validation,
                 test_ ? fmt::format(", {:.4f} of {}", result->test, flags_.test) : "");
    std::fflush(stdout);
    return end;
  }

  double bits_per_byte(Trainer& trainer) const {
    const std::vector<int32_t> tokens = trainer.tokenizer().encode(test_->text());
    const State start = trainer.first_state();
    return evaluate(trainer.runner(), tokens, trainer.tokenizer(), {.start = &start}).bits_per_byte();
  }

  void write_page() const {
    write_file_atomically(folder_ / "sweep.html", sweep_page(sweep_));
    write_file_atomically(folder_ / "sweep.csv", sweep_table(sweep_));
  }

  int stopped() const {
    fmt::print("\nStopped; everything is kept in {}. The same command goes on with it.\n", folder_.string());
    return interrupt_exit_code();
  }

  const SweepFlags& flags_;
  const TextFile& file_;
  fs::path folder_;
  Texts texts_;
  std::vector<Variant> variants_;
  std::set<std::string> folders_;
  Sweep sweep_;
  std::optional<TextFile> test_;
};

int sweep(const SweepFlags& flags) {
  platform::ignore_broken_pipes();  // as in aviary train
  require(flags.asked.quickstart || flags.asked.has("steps") || flags.asked.has("minutes"),
          "sweep: give --steps, to compare after equal steps, or --minutes, after equal time");
  require(!flags.tries.empty() || !flags.grid.empty(),
          "sweep: nothing to compare; give --try with flags of aviary train, or --grid with values of one");
  const TextFile file = open_text_to_learn(flags.text);
  require(!file.is_stream(), "sweep: name a file; the runs read it again when they go on");
  const fs::path folder =
      flags.out.empty() ? fs::path("runs") / ("sweep-" + usual_name(file)) : fs::path(flags.out);
  require_apart({folder / "sweep.html", folder / "sweep.csv"}, {flags.text, flags.test});
  make_folders(folder);
  return Sweeper(flags, file, folder).run();
}

Action add_sweep(CLI::App& command) {
  auto flags = std::make_shared<SweepFlags>();
  command.add_option("text", flags->text, "The text to learn from, in UTF-8")->required();
  command.add_option("--try", flags->tries,
                     "Flags of aviary train that are tried together, as \"--optimizer muon "
                     "--learning-rate 0.003\"; can be "
                     "repeated (default: none)");
  command.add_option(
      "--grid", flags->grid,
      "A flag of aviary train and its values, NAME=VALUE,VALUE, each of which is tried with everything else; "
      "can be repeated (default: none)");
  command.add_option("--seeds", flags->seeds, "Runs of each, with seeds from --seed on")
      ->check(bounds(1, 1000))
      ->capture_default_str();
  command.add_option("--test", flags->test,
                     "A further text on which the models are measured (default: none)");
  command.add_option("--out", flags->out,
                     "Folder of the runs and the page (default: runs/sweep-<name of the text>)");
  add_settings(command, setting_flags::train, flags->asked);
  add_model_options(command, flags->asked.values.model.options);
  command
      .add_option("--preset", flags->preset,
                  "Settings of an example, where no others are given: quickstart (default: by the text)")
      ->check(CLI::IsMember({"quickstart"}))
      ->group("Model");
  return [flags] {
    flags->asked.quickstart = !flags->preset.empty();
    return sweep(*flags);
  };
}

const Registration sweep_command({"sweep", CommandGroup::study, 2,
                                  "Train with different settings and seeds, and write a page about them",
                                  add_sweep});

}  // namespace
}  // namespace aviary::cli
