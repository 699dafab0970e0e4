// aviary data build: texts to the .bin and .idx that aviary train and RWKV-LM read.
#include "cli/data_build.h"

#include <fmt/format.h>

#include <chrono>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/human.h"
#include "base/utf8.h"
#include "cli/cli.h"
#include "cli/outputs.h"
#include "data/magic_prime.h"
#include "data/token_builder.h"

namespace aviary::cli {
namespace {

using Json = nlohmann::ordered_json;

struct DataBuildFlags {
  std::vector<std::string> inputs, evaluation, drop;
  std::string out, separator;
  TokenizerFlags tokenizer;
  BuildOptions options;
  int64_t context = 4096;
  bool no_shuffle = false, no_end = false, no_statistics = false, json = false;
};

void print_report_json(const DataBuildFlags& flags, const BuildReport& report, double seconds) {
  Json json{{"out", TokenPaths(flags.out).bin.string()},
            {"type", report.type == TokenType::uint16 ? "uint16" : "int32"},
            {"files", report.files},
            {"documents", report.documents},
            {"bytes", report.bytes},
            {"tokens", report.tokens},
            {"bytes_per_token", static_cast<double>(report.bytes) / static_cast<double>(report.tokens)},
            {"longest", report.longest},
            {"shortest", report.shortest},
            {"empty", report.empty},
            {"broken", report.broken},
            {"repaired_documents", report.repaired_documents},
            {"invalid_bytes", report.invalid_bytes},
            {"exact_duplicates", report.exact_duplicates}};
  if (flags.options.near) json["near_duplicates"] = report.near_duplicates;
  if (!flags.evaluation.empty()) json["overlapping"] = report.overlapping;
  if (flags.options.statistics) {
    Json& quality = json["outside_quality_rules"] = Json{{"documents", report.outside_quality}};
    for (int rule = 0; rule < quality_rules; ++rule)
      quality[name_of(static_cast<Quality>(rule))] = report.violations[static_cast<size_t>(rule)];
  }
  json["dropped"] = report.dropped;
  json["written_documents"] = report.written_documents;
  json["written_tokens"] = report.written_tokens;
  json["magic_prime"] = cubing_prime(report.written_tokens / flags.context - 1);
  json["seconds"] = seconds;
  fmt::print("{}\n", json.dump(2, ' ', true, Json::error_handler_t::replace));
}

void print_row(const char* what, int64_t count, const std::string& more = "") {
  fmt::print("  {:<22}{:>16}   {}\n", what, with_commas(count), more);
}

void print_report(const DataBuildFlags& flags, const BuildReport& report, double seconds) {
  fmt::print("{}: {} documents, {} tokens ({}), in {}\n", TokenPaths(flags.out).bin.string(),
             with_commas(report.written_documents), with_commas(report.written_tokens),
             report.type == TokenType::uint16 ? "uint16" : "int32", human_duration(seconds));
  print_row("files", report.files);
  print_row("documents", report.documents,
            fmt::format("{} to {} tokens{}", with_commas(report.shortest), with_commas(report.longest),
                        report.has_end_of_text ? ", each with an end of text" : ""));
  print_row("bytes", report.bytes,
            fmt::format("{:.3f} per token, {:.1f} MB/s",
                        static_cast<double>(report.bytes) / static_cast<double>(report.tokens),
                        static_cast<double>(report.bytes) / 1e6 / seconds));
  print_row("empty", report.empty);
  if (report.broken > 0) print_row("broken", report.broken, "left out");
  print_row("repaired", report.repaired_documents,
            fmt::format("documents; {} bytes were not UTF-8", with_commas(report.invalid_bytes)));
  print_row("exact duplicates", report.exact_duplicates);
  if (flags.options.near) print_row("near duplicates", report.near_duplicates, "and not exact ones");
  if (!flags.evaluation.empty())
    print_row("overlapping", report.overlapping, "share 13 words in a row with the evaluation files");
  if (flags.options.statistics) {
    print_row("outside quality rules", report.outside_quality);
    for (int rule = 0; rule < quality_rules; ++rule)
      if (const int64_t count = report.violations[static_cast<size_t>(rule)]; count > 0)
        print_row("  not:", count, name_of(static_cast<Quality>(rule)));
  }
  print_row("dropped", report.dropped, flags.drop.empty() ? "(--drop)" : "");
  for (const std::string& note : report.notes) fmt::print("  {}\n", note);
  if (const int64_t prime = cubing_prime(report.written_tokens / flags.context - 1); prime > 0)
    fmt::print("For RWKV-LM: --data_type binidx --ctx_len {} --my_exit_tokens {} --magic_prime {}\n",
               flags.context, report.written_tokens, prime);
}

// The words of --drop.
void read_drop(DataBuildFlags& flags) {
  BuildOptions& options = flags.options;
  for (const std::string& word : flags.drop) {
    options.drop_exact |= word == "exact";
    options.drop_near |= word == "near";
    options.drop_quality |= word == "quality";
    options.drop_overlap |= word == "overlap";
  }
  options.near |= options.drop_near;
  require(!options.drop_overlap || !flags.evaluation.empty(), "--drop overlap needs --evaluation FILE");
  require(!options.drop_quality || !flags.no_statistics,
          "--drop quality cannot be given beside --no-statistics");
}

int build(DataBuildFlags& flags) {
  read_drop(flags);
  flags.options.shuffle = !flags.no_shuffle;
  flags.options.end_of_text = !flags.no_end;
  flags.options.statistics = !flags.no_statistics;
  flags.options.pieces.separator = unescaped(flags.separator);
  if (!flags.evaluation.empty()) flags.options.evaluation = files_of(flags.evaluation);
  const std::vector<std::filesystem::path> files = files_of(flags.inputs);
  std::vector<std::filesystem::path> read = files;
  read.insert(read.end(), flags.options.evaluation.begin(), flags.options.evaluation.end());
  const TokenPaths paths(flags.out);
  require_apart({paths.bin, paths.idx}, read);
  const TokenizerPtr tokenizer = flags.tokenizer.open();
  const InterruptGuard guard;
  Progress progress({.label = "build", .unit = "MB", .unit_size = 1'000'000, .summary = false});
  flags.options.progress = [&](int64_t bytes) {
    progress.update(bytes);
    if (guard.interrupted()) throw Interrupted();
  };
  const auto started = std::chrono::steady_clock::now();
  BuildReport report;
  try {
    report = build_tokens(files, flags.out, *tokenizer, flags.options);
  } catch (const Interrupted&) {
    return interrupt_exit_code();
  }
  progress.finish();
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - started;
  if (flags.json)
    print_report_json(flags, report, seconds.count());
  else
    print_report(flags, report, seconds.count());
  return 0;
}

void add_duplicates(CLI::App& command, DataBuildFlags& flags) {
  command.add_flag("--near", flags.options.near, "Also look for near duplicates, by MinHash over words");
  command
      .add_option(
          "--drop", flags.drop,
          "Leave out documents: exact (duplicates), near (duplicates), quality (outside the rules), overlap "
          "(with --evaluation); can be repeated (default: none)")
      ->check(CLI::IsMember({"exact", "near", "quality", "overlap"}));
  command.add_option(
      "--evaluation", flags.evaluation,
      "Texts to evaluate on: documents that share 13 words in a row with them are counted; can be "
      "repeated (default: none)");
  command.add_flag("--no-statistics", flags.no_statistics,
                   "Do not count documents outside the quality rules");
  command.add_flag("--skip-broken", flags.options.skip_broken,
                   "Leave out broken rows and binary files, and count them");
}

}  // namespace

Action add_data_build(CLI::App& command) {
  auto flags = std::make_shared<DataBuildFlags>();
  command
      .add_option(
          "inputs", flags->inputs,
          "Texts, .jsonl with \"text\", .npy of tokens, also as .gz or .zst; folders: all files in them")
      ->required();
  command.add_option("--out", flags->out, "Write this .bin and the .idx beside it")->required();
  flags->tokenizer.add_to(command);
  command.add_option("--separator", flags->separator,
                     "What separates the documents of a text file, with escapes such as \\n\\n (default: "
                     "none, each file is one document)");
  command
      .add_option("--epochs", flags->options.epochs,
                  "Write all documents so many times, each time in another order")
      ->check(bounds(1, 10000))
      ->capture_default_str();
  command.add_flag("--no-shuffle", flags->no_shuffle, "Keep the order of the files");
  command.add_option("--seed", flags->options.seed, "Seed of the order; random: draw one")
      ->capture_default_str();
  command.add_flag("--no-end-of-text", flags->no_end, "Do not append the end of text to each document");
  command
      .add_option("--context", flags->context, "Context for which the prime of RWKV-LM's order is printed")
      ->check(bounds(1))
      ->capture_default_str();
  add_duplicates(command, *flags);
  command.add_flag("--json", flags->json, "Print JSON");
  return [flags] { return build(*flags); };
}

}  // namespace aviary::cli
