// aviary data inspect: what is in a .bin of tokens.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/human.h"
#include "base/quotes.h"
#include "base/random.h"
#include "cli/cli.h"
#include "cli/data_build.h"
#include "data/token_file.h"

namespace aviary::cli {
namespace {

using Json = nlohmann::ordered_json;

struct DataInspectFlags {
  std::string path;
  TokenizerFlags tokenizer;
  int64_t samples = 5, length = 40;
  std::vector<int64_t> documents;
  uint64_t seed = 1;
  bool json = false;
};

struct Histogram {
  std::vector<int64_t> documents;  // of [2^i, 2^(i+1)) tokens
  int64_t longest = 0;
};

Histogram histogram_of(const TokenFile& file) {
  Histogram result;
  for (int64_t i = 0; i < file.documents(); ++i) {
    const int64_t size = file.size_of(i);
    result.longest = std::max(result.longest, size);
    size_t doubling = 0;
    while (size >> (doubling + 1) > 0) ++doubling;
    if (result.documents.size() <= doubling) result.documents.resize(doubling + 1);
    ++result.documents[doubling];
  }
  return result;
}

std::vector<int64_t> chosen(const DataInspectFlags& flags, const TokenFile& file) {
  for (const int64_t document : flags.documents)
    require(document < file.documents(), "--document {}: {} has {} documents, numbered from 0", document,
            file.name(), file.documents());
  if (!flags.documents.empty()) return flags.documents;
  std::vector<int64_t> result;
  Random random(flags.seed);
  for (int64_t i = 0; i < std::min(flags.samples, file.documents()); ++i)
    result.push_back(flags.samples >= file.documents() ? i : random.below(file.documents()));
  return result;
}

// The first tokens of a document as text.
std::string text_of_tokens(const TokenFile& file, int64_t document, const Tokenizer& tokenizer,
                           int64_t most) {
  std::vector<int32_t> tokens;
  file.read(document, 0, std::min(most, file.size_of(document)), tokens);
  return tokenizer.decode(tokens);
}

int inspect_tokens(const DataInspectFlags& flags) {
  const TokenFile file(flags.path);
  const TokenizerPtr tokenizer = flags.tokenizer.open();
  const int32_t largest = file.largest_token();
  require(largest < std::max(tokenizer->vocab_size(), 1),
          "{}: has the token {}, but the tokenizer has {}; name the tokenizer that made the file with "
          "--tokenizer",
          file.name(), largest, tokenizer->vocab_size());
  const Histogram histogram = histogram_of(file);
  const char* type = file.type() == TokenType::uint16 ? "uint16" : "int32";
  if (flags.json) {
    Json json{{"file", file.name()},
              {"type", type},
              {"documents", file.documents()},
              {"tokens", file.tokens()},
              {"largest_token", largest},
              {"longest", histogram.longest},
              {"histogram", histogram.documents},
              {"samples", Json::array()}};
    for (const int64_t document : chosen(flags, file))
      json["samples"].push_back({{"document", document},
                                 {"tokens", file.size_of(document)},
                                 {"text", text_of_tokens(file, document, *tokenizer, flags.length)}});
    fmt::print("{}\n", json.dump(2, ' ', true, Json::error_handler_t::replace));
    return 0;
  }
  fmt::print("{}: {} documents, {} tokens ({}), the longest with {}\n", file.name(),
             with_commas(file.documents()), with_commas(file.tokens()), type, with_commas(histogram.longest));
  const int64_t most = *std::max_element(histogram.documents.begin(), histogram.documents.end());
  fmt::print("\n{:>21}  documents\n", "tokens");
  size_t first = 0;
  while (histogram.documents[first] == 0) ++first;
  for (size_t i = first; i < histogram.documents.size(); ++i)
    fmt::print("{:>21}  {:>12} {}\n",
               fmt::format("{}-{}", with_commas(int64_t{1} << i), with_commas((int64_t{2} << i) - 1)),
               with_commas(histogram.documents[i]),
               std::string(static_cast<size_t>(40 * histogram.documents[i] / most), '#'));
  for (const int64_t document : chosen(flags, file))
    fmt::print("\ndocument {}, {} tokens\n  {}\n", with_commas(document), with_commas(file.size_of(document)),
               printable(text_of_tokens(file, document, *tokenizer, flags.length)));
  return 0;
}

}  // namespace

Action add_data_inspect(CLI::App& command) {
  auto flags = std::make_shared<DataInspectFlags>();
  command.add_option("file", flags->path, "A .bin with its .idx beside it")->required();
  flags->tokenizer.add_to(command);
  command.add_option("--samples", flags->samples, "Documents to show, drawn at random")
      ->check(bounds(0, 10000))
      ->capture_default_str();
  command
      .add_option("--document", flags->documents,
                  "Show this one, counted from 0; can be repeated (default: drawn)")
      ->check(bounds(0));
  command.add_option("--length", flags->length, "Tokens to show of each")
      ->check(bounds(1))
      ->capture_default_str();
  command.add_option("--seed", flags->seed, "Seed of the draw; random: draw one")->capture_default_str();
  command.add_flag("--json", flags->json, "Print JSON");
  return [flags] { return inspect_tokens(*flags); };
}

}  // namespace aviary::cli
