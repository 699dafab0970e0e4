#include "cli/texts.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <charconv>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/quotes.h"
#include "base/utf8.h"

namespace aviary::cli {
namespace {

// "11,33"; nothing for a text that is not numbers and commas.
std::vector<int64_t> ids_in(std::string_view text) {
  std::vector<int64_t> ids;
  while (!text.empty()) {
    int64_t id = -1;
    const auto [last, error] = std::from_chars(text.data(), text.data() + text.size(), id);
    const size_t length = static_cast<size_t>(last - text.data());
    const bool more = length < text.size();
    if (error != std::errc() || id < 0 || (more && (text[length] != ',' || length + 1 == text.size())))
      return {};
    ids.push_back(id);
    text.remove_prefix(more ? length + 1 : length);
  }
  return ids;
}

std::vector<int32_t> tokens_named(std::string_view flag, const std::string& text, const Tokenizer& tokenizer,
                                  int64_t vocabulary) {
  std::vector<int32_t> tokens;
  for (const int64_t id : ids_in(text)) {
    require(id < vocabulary, "{}: there is no token {}; the model has the tokens 0 to {}", flag, id,
            vocabulary - 1);
    tokens.push_back(static_cast<int32_t>(id));
  }
  if (!tokens.empty()) return tokens;
  tokens = tokenizer.encode(text);
  require(tokens.size() == 1,
          "{}: \"{}\" is {} tokens ({}), expected a text that is one token, or ids such as 11,33; aviary "
          "tokenize shows the tokens of a text",
          flag, excerpt(text), tokens.size(),
          fmt::join(tokens.begin(), tokens.begin() + std::min<std::ptrdiff_t>(8, std::ssize(tokens)), ", "));
  return tokens;
}

// The part before the last "=", and the number behind it.
std::pair<std::string, float> parse_bias(const std::string& text) {
  const size_t equals = text.rfind('=');
  float bias = 0;
  const char *begin = text.data() + (equals == text.npos ? text.size() : equals + 1),
             *end = text.data() + text.size();
  const auto [last, error] = std::from_chars(begin, end, bias);
  require(equals != text.npos && equals > 0 && error == std::errc() && last == end && std::isfinite(bias),
          "--bias: \"{}\" is not a token, = and a finite number, as in 33=-2.5 (--ban excludes a token)",
          excerpt(text));
  return {text.substr(0, equals), bias};
}

}  // namespace

CLI::Option* Escapes::add_to(CLI::App& command, const std::string& flags) {
  return command.add_flag(
      "--escape,-e", on,
      fmt::format("In {}: \\n is a line break, \\t a tab, \\xHH a byte, \\uHHHH a character, \\\\ "
                  "a backslash",
                  flags));
}

std::string Escapes::read(std::string_view flag, const std::string& text) const {
  if (!on) return text;
  try {
    return unescaped(text);
  } catch (const Error& error) {
    fail("{}: {}", flag, error.what());
  }
}

void TokenFlags::add_to(CLI::App& command, const std::string& group) {
  command
      .add_option("--ban", ban,
                  "Never write these tokens: ids (11,33) or a text that is one token; may be repeated "
                  "(default: none)")
      ->group(group);
  command
      .add_option("--bias", bias,
                  "TOKENS=NUMBER, added to their logits, as 11,33=-2.5; may be repeated (default: none)")
      ->group(group);
  command
      .add_option("--exempt", exempt,
                  "Tokens, named as for --ban, that --frequency-penalty does not count; may be repeated "
                  "(default: none)")
      ->needs("--frequency-penalty")
      ->group(group);
}

void TokenFlags::apply(SamplerOptions& sampling, const Tokenizer& tokenizer, int64_t vocabulary,
                       const Escapes& escapes) const {
  auto named = [&](std::string_view flag, const std::string& text) {
    return tokens_named(flag, escapes.read(flag, text), tokenizer, vocabulary);
  };
  for (const std::string& text : ban)
    for (const int32_t token : named("--ban", text))
      sampling.bias.push_back({token, -std::numeric_limits<float>::infinity()});
  for (const std::string& given : bias) {
    const auto [text, number] = parse_bias(given);
    for (const int32_t token : named("--bias", text)) sampling.bias.push_back({token, number});
  }
  for (const std::string& text : exempt)
    for (const int32_t token : named("--exempt", text)) sampling.uncounted.push_back(token);
}

std::map<std::string, std::string> renames(const std::string& list) {
  std::map<std::string, std::string> result;
  for (size_t begin = 0; begin < list.size();) {
    const size_t end = std::min(list.find(',', begin), list.size());
    const std::string pair = list.substr(begin, end - begin);
    const size_t equals = pair.find('=');
    require(equals != pair.npos && equals > 0 && equals + 1 < pair.size(),
            "--map {}: expected pairs of a key of the rows and the key that it is read as, as in "
            "question=prompt,answer=completion",
            in_quotes(list));
    const bool is_new = result.emplace(pair.substr(0, equals), pair.substr(equals + 1)).second;
    require(is_new, "--map {}: the key {} is there twice", in_quotes(list),
            in_quotes(pair.substr(0, equals)));
    begin = end + 1;
  }
  return result;
}

}  // namespace aviary::cli
