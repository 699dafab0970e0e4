// aviary detokenize: the bytes of tokens.
#include <fmt/format.h>

#include <charconv>
#include <cstdio>

#include "base/error.h"
#include "base/files.h"
#include "base/platform.h"
#include "base/utf8.h"
#include "cli/cli.h"

namespace aviary::cli {
namespace {

constexpr int64_t largest_token_list = int64_t{4} << 30;

struct DetokenizeFlags {
  std::vector<std::string> ids;
  TokenizerFlags tokenizer;
};

// Bytes for the standard output: as they are, but on a terminal as text that gives it no orders.
class Output {
 public:
  void write(std::string_view bytes) {
    const std::string shown = terminal_ ? for_terminal(characters_.push(bytes)) : std::string(bytes);
    std::fwrite(shown.data(), 1, shown.size(), stdout);
  }
  void finish() { std::fputs(characters_.flush().c_str(), stdout); }

 private:
  const bool terminal_ = platform::terminal_width(stdout) > 0;
  Utf8Stream characters_;
};

// Writes the bytes of every id in `text`; ids are separated by white space, commas or brackets. Throws Error
// for anything else and for ids that the tokenizer does not have; `where` names the source of the text.
void write_tokens(std::string_view text, std::string_view where, const Tokenizer& tokenizer, Output& output) {
  constexpr std::string_view separators = " \t\r\n,[]";
  for (;;) {
    text.remove_prefix(std::min(text.find_first_not_of(separators), text.size()));
    if (text.empty()) return;
    const std::string_view word = text.substr(0, text.find_first_of(separators));
    int64_t id = -1;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), id);
    require(
        end == word.data() + word.size() && (error == std::errc() || error == std::errc::result_out_of_range),
        "detokenize: \"{}\" in {} is no token id; expected whole numbers with spaces or commas between them",
        excerpt(word), where);
    require(error == std::errc() && id >= 0 && id < tokenizer.vocab_size(),
            "detokenize: {} in {} is no token of this tokenizer, whose ids are 0 to {}", excerpt(word), where,
            tokenizer.vocab_size() - 1);
    output.write(tokenizer.bytes_of(static_cast<int32_t>(id)));
    text.remove_prefix(word.size());
  }
}

int detokenize(const DetokenizeFlags& flags) {
  const TokenizerPtr tokenizer = flags.tokenizer.open();
  Output output;
  if (flags.ids.empty()) write_tokens(read_input("-", largest_token_list), "the input", *tokenizer, output);
  for (const std::string& ids : flags.ids) write_tokens(ids, "the command line", *tokenizer, output);
  output.finish();
  return 0;
}

Action add_detokenize(CLI::App& command) {
  auto flags = std::make_shared<DetokenizeFlags>();
  command.add_option("ids", flags->ids, "Token ids (default: those on the standard input)");
  flags->tokenizer.add_to(command);
  return [flags] { return detokenize(*flags); };
}

const Registration detokenize_command({"detokenize", CommandGroup::text, 2, "The text of tokens",
                                       add_detokenize});

}  // namespace
}  // namespace aviary::cli
