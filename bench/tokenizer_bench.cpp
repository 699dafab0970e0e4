// Speed of a tokenizer in one thread, encoding and decoding. Each text is extended to 100 MB by repeating its
// lines in random order, so that caches cannot exploit repetition. For comparison, measured in the same run,
// the time to read the text and write a number for each byte.
//   tokenizer_bench rwkv_vocab_v20230424.txt novels.txt chinese.txt
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/files.h"
#include "base/human.h"
#include "base/random.h"
#include "text/tokenizer_file.h"

namespace {

using namespace aviary;

constexpr int repeats = 3;

// Of the fastest of several calls: other programs can only slow it down.
template <typename Call>
double fastest_seconds(Call call) {
  double best = std::numeric_limits<double>::infinity();
  for (int i = 0; i < repeats; ++i) {
    const auto start = std::chrono::steady_clock::now();
    call();
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return best;
}

std::string lines_at_random(const std::string& text, size_t bytes) {
  std::vector<std::string_view> lines;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size() - 1) + 1;
    lines.push_back(std::string_view(text).substr(begin, end - begin));
    begin = end;
  }
  require(!lines.empty(), "the text is empty");
  Random random(1);
  std::string all;
  all.reserve(bytes + text.size());
  while (all.size() < bytes) all += lines[static_cast<size_t>(random.below(std::ssize(lines)))];
  return all;
}

void measure(const Tokenizer& tokenizer, const std::string& path, size_t bytes) {
  const std::string text = lines_at_random(read_file(path, int64_t{1} << 30), bytes);
  const double size = static_cast<double>(text.size()), megabytes = size / 1e6;
  auto encoding_seconds = [&](const Tokenizer& one, std::vector<int32_t>& tokens) {
    return fastest_seconds([&] {
      tokens.clear();
      one.encode(text, tokens);
    });
  };
  std::vector<int32_t> tokens;
  const double limit = megabytes / encoding_seconds(*make_bytes_tokenizer(), tokens);
  const double speed = megabytes / encoding_seconds(tokenizer, tokens);
  std::string back;
  const double decoding = megabytes / fastest_seconds([&] { back = tokenizer.decode(tokens); });
  require(back == text, "{}: the tokens are not those of the text", path);
  fmt::print("{}\n  {:.0f} MB, {} tokens of {:.2f} bytes\n", path, megabytes, with_commas(std::ssize(tokens)),
             size / static_cast<double>(tokens.size()));
  fmt::print("  encode {} (a number per byte: {}), decode {}\n", human_rate(speed, "MB"),
             human_rate(limit, "MB"), human_rate(decoding, "MB"));
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Speed of a tokenizer in one thread");
  std::string vocabulary;
  std::vector<std::string> texts;
  size_t megabytes = 100;
  app.add_option("vocabulary", vocabulary, "World vocabulary, tokenizer.json or vocab.json")->required();
  app.add_option("texts", texts, "Texts to read")->required();
  app.add_option("--megabytes", megabytes, "Of each text")->check(CLI::Range(1, 2000))->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  try {
    const TokenizerPtr tokenizer = read_tokenizer(read_file(vocabulary, largest_tokenizer_file), vocabulary);
    fmt::print("{}: {}, {} tokens\n", vocabulary, tokenizer->kind(), with_commas(tokenizer->vocab_size()));
    for (const std::string& path : texts) measure(*tokenizer, path, megabytes * 1'000'000);
  } catch (const Error& error) {
    fmt::print(stderr, "tokenizer_bench: {}\n", error.what());
    return 1;
  }
  return 0;
}
