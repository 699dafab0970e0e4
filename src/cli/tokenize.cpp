// aviary tokenize: the tokens of a text.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <optional>

#include "base/error.h"
#include "base/files.h"
#include "base/quotes.h"
#include "cli/cli.h"
#include "cli/texts.h"

namespace aviary::cli {
namespace {

constexpr int64_t largest_input = int64_t{4} << 30;  // of any bytes

struct TokenizeFlags {
  std::string file = "-";
  std::optional<std::string> text;
  TokenizerFlags tokenizer;
  Escapes escapes;
  bool bytes = false, ids = false, json = false, count = false;
};

// The ids in sequence.
void print_ids(std::span<const int32_t> tokens, std::string_view separator) {
  constexpr size_t piece = 4096;
  for (size_t begin = 0; begin < tokens.size(); begin += piece) {
    const auto part = tokens.subspan(begin, std::min(piece, tokens.size() - begin));
    fmt::print("{}{}", begin == 0 ? "" : separator, fmt::join(part, separator));
  }
}

std::string text_of(const TokenizeFlags& flags) {
  if (flags.text) return flags.escapes.read("--text", *flags.text);
  return flags.bytes ? read_input(flags.file, largest_input) : std::string(open_text(flags.file).text());
}

int tokenize(const TokenizeFlags& flags) {
  std::error_code ignored;
  require(flags.text || flags.file == "-" || std::filesystem::exists(flags.file, ignored),
          "{}: No such file or directory; for a text itself there is --text", flags.file);
  const TokenizerPtr tokenizer = flags.tokenizer.open();
  const std::vector<int32_t> tokens = tokenizer->encode(text_of(flags));
  if (flags.count) {
    fmt::print("{}\n", tokens.size());
  } else if (flags.json) {
    fmt::print("{{\"count\": {}, \"tokens\": [", tokens.size());
    print_ids(tokens, ", ");
    fmt::print("]}}\n");
  } else if (flags.ids) {
    print_ids(tokens, " ");
    fmt::print("\n");
  } else {
    for (int32_t token : tokens) fmt::print("{:>7}  \"{}\"\n", token, printable(tokenizer->bytes_of(token)));
  }
  return 0;
}

Action add_tokenize(CLI::App& command) {
  auto flags = std::make_shared<TokenizeFlags>();
  auto* file = command.add_option("file", flags->file,
                                  "A file with the text, or - for the standard input (default: -)");
  command.add_option("--text", flags->text, "The text itself (default: that of the file)")->excludes(file);
  flags->escapes.add_to(command, "--text")->needs("--text");
  command
      .add_flag(
          "--bytes", flags->bytes,
          "Take the input as it is, any bytes and a byte order mark, and not as a text, which is checked")
      ->excludes("--text");
  flags->tokenizer.add_to(command);
  auto* ids =
      command.add_flag("--ids", flags->ids, "Print only the ids, on one line, as detokenize reads them");
  auto* json =
      command.add_flag("--json", flags->json, "Print the ids and their number as JSON")->excludes(ids);
  command.add_flag("--count", flags->count, "Print only the number of tokens")->excludes(ids)->excludes(json);
  return [flags] { return tokenize(*flags); };
}

const Registration tokenize_command({"tokenize", CommandGroup::text, 1, "The tokens of a text",
                                     add_tokenize});

}  // namespace
}  // namespace aviary::cli
