// aviary grow: a larger model from a smaller one.
#include <fmt/format.h>

#include "base/error.h"
#include "base/files.h"
#include "base/human.h"
#include "checkpoints/checkpoint.h"
#include "checkpoints/targets.h"
#include "cli/cli.h"
#include "cli/outputs.h"
#include "models/registry.h"
#include "train/growth.h"

namespace aviary::cli {
namespace {

namespace fs = std::filesystem;

struct GrowFlags {
  std::string model, out, how = "identity";
  Growth growth;
  bool transfer = false;
};

int grow(const GrowFlags& flags) {
  require(flags.growth.layers > 0 || flags.growth.width > 0, "grow: give --layers, --width or both");
  require(
      target_of(flags.out) == Target::safetensors,
      "--out {}: expected a name that ends in .safetensors; `aviary convert` writes other formats from it",
      flags.out);
  const fs::path path = find_model(flags.model);
  require_apart(flags.out, {path});
  AtomicFile{flags.out};  // checks that it can be written before the work starts
  Checkpoint checkpoint = load_checkpoint(path);
  print_notes(checkpoint.notes);
  Model& model = *checkpoint.model;
  Growth growth = flags.growth;
  growth.how = deepening(flags.how);
  if (growth.layers == 0) growth.layers = model.config().n_layer;
  if (growth.width == 0) growth.width = model.config().n_embd;
  const std::unique_ptr<Model> result =
      flags.transfer ? transferred(model, growth.layers, growth.width, growth.seed) : grown(model, growth);
  auto metadata = metadata_of(result->config(), checkpoint.tokenizer.get());
  keep_metadata(checkpoint.metadata, metadata);
  save_checkpoint(flags.out, *result, checkpoint.tokenizer.get(), metadata);
  fmt::print("{}: {} layers of width {}, {} parameters; it was {} of {}, {}\n", flags.out,
             result->config().n_layer, result->config().n_embd, with_commas(result->parameters().count()),
             model.config().n_layer, model.config().n_embd, with_commas(model.parameters().count()));
  if (!flags.transfer)
    fmt::print("The logits of 24 random tokens differ by {:.1g} of the largest\n",
               difference_of_logits(model, *result));
  return 0;
}

Action add_grow(CLI::App& command) {
  auto flags = std::make_shared<GrowFlags>();
  command
      .add_option("model", flags->model,
                  "The model: a file, a folder of Hugging Face, or the folder of a run")
      ->required();
  command.add_option("--out", flags->out, "The file to write, .safetensors")->required();
  command.add_option("--layers", flags->growth.layers, "Blocks of the larger model (default: as before)")
      ->check(bounds(1, 1024));
  command
      .add_option(
          "--width", flags->growth.width,
          "Its channels, a multiple of those of the model unless with --transfer (default: as before)")
      ->check(bounds(8, 1 << 16));
  command
      .add_option("--deepen", flags->how,
                  "What new blocks are: identity (copies that add nothing yet; the same function), stack "
                  "(the blocks once "
                  "more, in their order)")
      ->check(CLI::IsMember({"identity", "stack"}))
      ->capture_default_str();
  command
      .add_option("--noise", flags->growth.noise,
                  "Relative noise, without which copies of a channel stay equal in training")
      ->check(number_bounds(0, 1, "0 to 1"))
      ->capture_default_str();
  command.add_flag(
      "--transfer", flags->transfer,
      "A new model whose vectors (decays, mixes, norms) are those of the model, sorted, smoothed and "
      "interpolated; its matrices are new, and any size is possible");
  command.add_option("--seed", flags->growth.seed, "Seed of new numbers")->capture_default_str();
  return [flags, &command] {
    if (flags->transfer) {
      require(command.count("--deepen") == 0 && command.count("--noise") == 0,
              "--transfer makes new matrices, so --deepen and --noise would have no effect; leave them out");
    }
    return grow(*flags);
  };
}

const Registration grow_command({"grow", CommandGroup::files, 5, "A larger model from a smaller one",
                                 add_grow});

}  // namespace
}  // namespace aviary::cli
