// aviary convert: converts a model, an adapter or a tuned state to another file format or number type.
#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <optional>

#include "base/error.h"
#include "base/files.h"
#include "base/human.h"
#include "base/interrupt.h"
#include "base/progress.h"
#include "checkpoints/gguf_writer.h"
#include "checkpoints/targets.h"
#include "cli/cli.h"
#include "cli/convert_tuned.h"
#include "cli/outputs.h"
#include "cli/strict_options.h"
#include "formats/gguf.h"
#include "formats/pth.h"
#include "formats/safetensors.h"
#include "models/registry.h"
#include "quant/budget.h"
#include "quant/report.h"

namespace aviary::cli {
namespace {

namespace fs = std::filesystem;

struct ConvertFlags {
  std::string in, out, type, report, tokenizer, base;
  int64_t fit = 0;    // bytes of the file; 0: not requested
  double max_kl = 0;  // nats per token; 0: not requested
  bool force = false, all = false;

  bool quantizes() const { return !type.empty() || fit > 0 || max_kl > 0; }
};

// The metadata of the file.
struct Description {
  std::optional<ModelConfig> config;  // nothing for a version that is not supported yet
  TokenizerPtr tokenizer;
  std::map<std::string, std::string> metadata;
  std::vector<int32_t> report;  // the tokens of the text of --report
};

Description describe(const ConvertFlags& flags, const TensorFile& file) {
  Description description;
  try {
    const ModelConfig config = config_of(file, flags.in);
    description.config = model_version(config.version).complete(config);
  } catch (const Error& error) {
    require(flags.tokenizer.empty(), "{}; so --tokenizer would have no effect, leave it out", error.what());
    fmt::print(stderr, "{}; its tensors are converted as they are\n", error.what());
    description.metadata = file.metadata();
    return description;
  }
  const ModelConfig& config = *description.config;
  description.tokenizer = tokenizer_of(file, flags.in, config);
  if (!flags.tokenizer.empty())
    description.tokenizer = open_tokenizer_for(
        flags.tokenizer, config, known_tokenizer_hash(file.metadata(), description.tokenizer.get()), flags.in,
        flags.force);
  description.metadata = metadata_of(config, description.tokenizer.get());
  keep_metadata(file.metadata(), description.metadata);
  return description;
}

// Each tensor in its present type.
QuantizationPlan unchanged_plan(const TensorFile& file) {
  QuantizationPlan plan;
  for (const TensorEntry& tensor : file.tensors()) plan.tensors.push_back({{tensor, tensor.dtype}, {}, {}});
  return plan;
}

// The size of the GGUF file with this plan, at most: the report that it will hold is not known yet.
int64_t file_bytes(const ConvertFlags& flags, const Description& description, const QuantizationPlan& plan) {
  constexpr double longest = -1.2345678901234567e-300;
  const ModelComparison widest{.tokens = std::numeric_limits<int64_t>::max(),
                               .original_loss = 690.1,  // e^690.1 is a perplexity of as many digits
                               .quantized_loss = 690.1,
                               .mean_divergence = longest,
                               .largest_divergence = longest,
                               .same_choice = longest};
  std::map<std::string, std::string> metadata = description.metadata;
  metadata["aviary.quantization"] = to_json(plan, flags.report.empty() ? nullptr : &widest);
  return gguf_bytes(flags.out, *description.config, plan.stored(), metadata, description.tokenizer.get());
}

// The tokens of the text of --report, after the token that the model begins with.
std::vector<int32_t> read_report(const ConvertFlags& flags, const Description& description) {
  require(description.config && description.tokenizer,
          "--report reads a text with the model, which needs a version that runs and a tokenizer; {} has {}",
          flags.in, description.config ? "no tokenizer (name one with --tokenizer)" : "no such version");
  std::vector<int32_t> tokens;
  if (const auto begin = begin_token_of(description.metadata, *description.tokenizer, flags.in))
    tokens.push_back(*begin);
  description.tokenizer->encode(open_text(flags.report).text(), tokens);
  return tokens;
}

// Compares the original and the planned model on that text.
ModelComparison compare_numbers(const ConvertFlags& flags, const Description& description,
                                const QuantizationPlan& plan, const InterruptGuard& guard) {
  const std::vector<int32_t>& tokens = description.report;
  const Checkpoint original = load_checkpoint(flags.in, Dtype::f32, flags.force);
  const std::unique_ptr<Model> planned = create_model(*description.config);
  for (Parameter& parameter : planned->parameters())  // some are optional in a file
    copy(original.model->parameters().find(parameter.spec.name)->weight.value(), parameter.weight.value());
  apply_plan(plan, *planned);
  for (Model* model : {original.model.get(), planned.get()})
    model->parameters().pack(kernels::Precision::f32);
  Runner before(*original.model), after(*planned);
  Progress progress({.label = "compare", .total = std::ssize(tokens) - 1, .summary = false});
  return compare_quantized(before, after, tokens, [&](int64_t done) {
    progress.update(done);
    return !guard.interrupted();
  });
}

void print_conversion(const ConvertFlags& flags, const QuantizationPlan& plan) {
  int64_t numbers = 0;
  for (const PlannedTensor& tensor : plan.tensors) numbers += count_of(tensor.stored.source);
  fmt::print("{} tensors, {} numbers, {} ({:.2f} bits each)\n", plan.tensors.size(), with_commas(numbers),
             human_bytes(plan.bytes()),
             8 * static_cast<double>(plan.bytes()) / static_cast<double>(std::max<int64_t>(numbers, 1)));
  std::vector<const PlannedTensor*> shown;
  for (const PlannedTensor& tensor : plan.tensors)
    if (flags.all || !tensor.reason.empty()) shown.push_back(&tensor);
  if (shown.empty()) return;
  fmt::print("{:<36} {:<5} {:>9} {:>9}  {}\n", "tensor", "type", "error", "largest", "why not smaller");
  for (const PlannedTensor* tensor : shown)
    fmt::print("{:<36} {:<5} {:>8.3f}% {:>8.3f}%  {}\n", printable(tensor->stored.source.name),
               name_of(tensor->stored.type), 100 * tensor->error.rms, 100 * tensor->error.largest,
               tensor->reason);
}

void print_changes(const ModelComparison& comparison) {
  fmt::print(
      "{} tokens: perplexity {:.3f}, was {:.3f}; divergence {:.5f} nats on average, {:.3f} at worst; the "
      "same first choice for {:.2f} % of the tokens\n",
      with_commas(comparison.tokens), comparison.quantized_perplexity(), comparison.original_perplexity(),
      comparison.mean_divergence, comparison.largest_divergence, 100 * comparison.same_choice);
}

// Throws Interrupted; then nothing is written.
void write(const ConvertFlags& flags, const Description& description, const QuantizationPlan& plan,
           const InterruptGuard& guard) {
  const std::vector<StoredTensor> tensors = plan.stored();
  std::optional<Progress> line;
  const WriteProgress progress = write_progress(line, guard);
  switch (target_of(flags.out)) {
    case Target::safetensors:
      return write_safetensors(flags.out, tensors, description.metadata, progress);
    case Target::pth:
      write_pth(flags.out, tensors, progress);
      line.reset();
      if (description.tokenizer)
        fmt::print(stderr, "{}: a .pth file has no place for the tokenizer; it is left out\n", flags.out);
      return;
    case Target::gguf:
      write_gguf(flags.out, *description.config, tensors, description.metadata, description.tokenizer.get(),
                 progress);
      line.reset();
      if (!description.tokenizer)
        fmt::print(
            stderr,
            "{}: it has no tokenizer, so programs take tokens from it but no text; --tokenizer FILE adds "
            "one\n",
            flags.out);
      return;
  }
}

// What the new file does not say, and what the programs that read it cannot do.
void print_limits(const ConvertFlags& flags, const ModelConfig& config, const ShapeMap& shapes) {
  const Target target = target_of(flags.out);
  const std::vector<std::string> missing = unsaid(target, config, shapes);
  if (!missing.empty() && target != Target::gguf)
    fmt::print(stderr,
               "{}: the file has no place for the {} of this model; what opens it computes another one\n",
               flags.out, fmt::join(missing, ", "));
  for (const std::string& limit : limits(target, config)) fmt::print(stderr, "{}: {}\n", flags.out, limit);
}

// Checks what would otherwise fail only after the work is done.
void require_possible(const ConvertFlags& flags, std::optional<Dtype> type, const TensorFile& file) {
  const Target target = target_of(flags.out);
  if (target != Target::gguf)
    for (const TensorEntry& tensor : file.tensors()) {
      const Dtype stored = type.value_or(tensor.dtype);
      require(!is_quantized(stored),
              "{}: {} files do not have the type {}; name another with --type, or write a .gguf file",
              flags.out, target == Target::pth ? ".pth" : ".safetensors", name_of(stored));
    }
  AtomicFile{flags.out};
}

// The plan with the requested size or damage; unchanged if neither was requested.
QuantizationPlan make_plan(const ConvertFlags& flags, const Description& description, const TensorFile& file,
                           const InterruptGuard& guard) {
  if (!flags.quantizes()) return unchanged_plan(file);
  int64_t numbers = 0;
  for (const TensorEntry& tensor : file.tensors()) numbers += count_of(tensor);
  Progress progress({.label = "measure", .total = numbers, .unit = "numbers", .summary = false});
  auto go_on = [&](int64_t done) {
    progress.update(done);
    return !guard.interrupted();
  };
  if (const std::optional<Dtype> type = parse_type(flags.type)) return plan_types(file, *type, go_on);
  const TypeChoice choice(file, go_on);
  progress.finish();
  if (guard.interrupted()) throw Interrupted();
  if (flags.fit > 0)
    return choice.of_size(flags.fit,
                          [&](const QuantizationPlan& plan) { return file_bytes(flags, description, plan); });
  return choice.of_quality(flags.max_kl, [&](const QuantizationPlan& plan) {
    const double divergence = compare_numbers(flags, description, plan, guard).mean_divergence;
    if (guard.interrupted()) throw Interrupted();
    fmt::print("{} differ by {:.5f} nats per token\n", human_bytes(plan.bytes()), divergence);
    return divergence;
  });
}

// Throws Error if an option was given that is for models only.
void refuse_options_of_models(const ConvertFlags& flags, const char* what) {
  const std::pair<const char*, bool> given[] = {{"--report", !flags.report.empty()},
                                                {"--fit", flags.fit > 0},
                                                {"--max-kl", flags.max_kl > 0},
                                                {"--tokenizer", !flags.tokenizer.empty()},
                                                {"--all", flags.all}};
  for (const auto& [name, is_given] : given)
    require(!is_given, "{}: this is {}, on which {} would have no effect; leave it out", flags.in, what,
            name);
}

int convert_model(const ConvertFlags& flags) {
  require(flags.base.empty(), "{}: this is no adapter, so --base would have no effect; leave it out",
          flags.in);
  const Target target = target_of(flags.out);
  const std::optional<Dtype> type = parse_type(flags.type);
  const fs::path in = find_model(flags.in);
  require_apart(flags.out, {in, flags.tokenizer, flags.report});
  const TensorFile file = read_tensor_file(in);
  print_notes(file.notes());
  require_possible(flags, type, file);
  ConvertFlags found = flags;
  found.in = in.string();
  Description description = describe(found, file);
  if (!flags.report.empty()) description.report = read_report(found, description);
  require(target != Target::gguf || description.config,
          "{}: GGUF files say how a model runs, and this version does not run yet; write a .safetensors or "
          ".pth file",
          flags.out);
  require(target != Target::pth || flags.tokenizer.empty() || !flags.report.empty(),
          "{}: a .pth file has no place for a tokenizer, so --tokenizer would have no effect; leave it out, "
          "or write another format",
          flags.out);
  require(target == Target::gguf || (flags.fit == 0 && flags.max_kl == 0),
          "{}: --fit and --max-kl choose among types that only GGUF files have; name a .gguf file",
          flags.out);

  if (description.config && !flags.force) require_said(flags.out, *description.config, shapes_of(file));

  InterruptGuard guard;
  const QuantizationPlan plan = make_plan(found, description, file, guard);
  std::optional<ModelComparison> comparison;
  if (!flags.report.empty() && !guard.interrupted())
    comparison = compare_numbers(found, description, plan, guard);
  if (guard.interrupted()) throw Interrupted();
  print_conversion(flags, plan);
  if (comparison) print_changes(*comparison);
  const std::string broken = why_broken(plan, comparison ? &*comparison : nullptr);
  require(broken.empty() || flags.force, "{}: {}; nothing was written (--force writes it all the same)",
          flags.out, broken);
  if (flags.quantizes())
    description.metadata["aviary.quantization"] = to_json(plan, comparison ? &*comparison : nullptr);
  write(found, description, plan, guard);
  if (description.config) print_limits(flags, *description.config, shapes_of(file));
  fmt::print("{}: {}\n", flags.out, human_bytes(static_cast<int64_t>(fs::file_size(flags.out))));
  return 0;
}

int convert(const ConvertFlags& flags) {
  const TunedFlags tuned{flags.in, flags.out, flags.base, parse_type(flags.type), flags.force};
  if (const std::optional<AdapterRequest> adapter = adapter_named(flags.in)) {
    refuse_options_of_models(flags, "an adapter");
    return convert_adapter(*adapter, tuned);
  }
  if (is_state(flags.in)) {
    refuse_options_of_models(flags, "a tuned state");
    return convert_state(tuned);
  }
  return convert_model(flags);
}

Action add_convert(CLI::App& command) {
  auto flags = std::make_shared<ConvertFlags>();
  command
      .add_option("model", flags->in,
                  "A model file, a folder of Hugging Face, or the folder of a run; or a tuned state, or an "
                  "adapter: FILE or FILE,alpha=A,weight=W,init=FILE2")
      ->required();
  command
      .add_option("output", flags->out,
                  "The file to write; its ending says how: .safetensors, .pth, .gguf, of tuned states also "
                  ".state; an adapter to a folder of Hugging Face PEFT where it ends in /")
      ->required();
  CLI::Option* type = add_type_option(
      command, flags->type,
      "How matrices are stored; a tensor that it would spoil gets a better type (default: as they are)");
  CLI::Option* report = command.add_option(
      "--report", flags->report,
      "Read this text (-: the standard input) with both models and print how their predictions differ "
      "(default: none)");
  command
      .add_option(
          "--fit", flags->fit,
          "Choose a type for every tensor so that the file has at most so many bytes, as 600M, and its "
          "predictions differ little (default: no limit)")
      ->type_name(size_type)
      ->check(bounds(1))
      ->excludes(type);
  command
      .add_option(
          "--max-kl", flags->max_kl,
          "Choose a type for every tensor so that the file is small and its predictions of the text of "
          "--report differ by at most so many nats per token, as 0.01 (default: no limit)")
      ->check(number_bounds(std::numeric_limits<double>::min(), 1e9, "more than 0"))
      ->needs(report)
      ->excludes(type)
      ->excludes("--fit");
  command.add_option(
      "--tokenizer", flags->tokenizer,
      fmt::format("The tokenizer for the new file: {} (default: the model's own)", tokenizer_kinds));
  command.add_option("--base", flags->base,
                     "The model of the adapter, where its own file does not say enough of it, and to check "
                     "that it fits (default: none)");
  command.add_flag("--all", flags->all, "Print the type and error of every tensor");
  command.add_flag(
      "--force", flags->force,
      "Write the file even when the result is broken, when it cannot say a setting of the model, or "
      "when --tokenizer is not the model's or --base not that of the adapter");
  return [flags] {
    try {
      return convert(*flags);
    } catch (const Interrupted&) {
      fmt::print(stderr, "stopped; nothing was written\n");
      return interrupt_exit_code();
    }
  };
}

const Registration convert_command({"convert", CommandGroup::files, 2,
                                    "Write a model, adapter or state in another file format or number type",
                                    add_convert});

}  // namespace
}  // namespace aviary::cli
