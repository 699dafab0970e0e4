// Reads a prompt in one call, in two halves, and token by token, and shows that the next token is the same
// each time.
//   forward_example MODEL TOKEN...      for example: forward_example model.safetensors 3 1 4 1 5
// forward_example MODEL "some text"   if the model contains its tokenizer
#include <aviary/aviary.hpp>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <numeric>

namespace {

constexpr double tolerance = 1e-4;  // rounding, in float32

// All arguments as numbers; empty if one is not a number.
std::vector<int32_t> numbers(int count, char** texts) {
  std::vector<int32_t> tokens(static_cast<size_t>(count));
  for (int i = 0; i < count; ++i) {
    const char* end = texts[i] + std::strlen(texts[i]);
    const auto [stopped, error] = std::from_chars(texts[i], end, tokens[static_cast<size_t>(i)]);
    if (error != std::errc() || stopped != end) return {};
  }
  return tokens;
}

void print_top(const char* how, const std::vector<float>& logits) {
  std::vector<size_t> order(logits.size());
  std::iota(order.begin(), order.end(), size_t{0});
  const size_t top = std::min<size_t>(5, order.size());
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(top), order.end(),
                    [&](size_t a, size_t b) { return logits[a] > logits[b]; });
  std::printf("%-15s", how);
  for (size_t i = 0; i < top; ++i)
    std::printf("  %5zu: %9.5f", order[i], static_cast<double>(logits[order[i]]));
  std::printf("\n");
}

double difference(const std::vector<float>& a, const std::vector<float>& b) {
  double largest = 0;
  for (size_t i = 0; i < a.size(); ++i)
    largest = std::max(largest, std::abs(static_cast<double>(a[i] - b[i])));
  return largest;
}

int run(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: %s MODEL (TOKEN... | TEXT)\n", argv[0]);
    return 2;
  }
  aviary::Model model = aviary::Model::load(argv[1]);
  std::vector<int32_t> tokens = numbers(argc - 2, argv + 2);
  if (tokens.empty()) tokens = model.encode(argv[2]);
  if (tokens.empty()) throw aviary::Error("the prompt is empty, expected at least one token");
  const aviary::ModelInfo& info = model.info();
  std::printf("%s, %lld layers of width %lld, %lld tokens; aviary %s\n", info.version.c_str(),
              static_cast<long long>(info.layers), static_cast<long long>(info.width),
              static_cast<long long>(info.vocab_size), aviary::version());

  aviary::State state = model.new_state();
  const std::vector<float> whole = model.forward(tokens, state);
  print_top("whole", whole);

  const std::span<const int32_t> all = tokens;
  aviary::State split_state = model.new_state();
  const std::span<const int32_t> first = all.first(all.size() / 2), second = all.subspan(first.size());
  if (!first.empty()) model.forward(first, split_state);
  const std::vector<float> split = model.forward(second, split_state);
  print_top("split", split);

  aviary::State single_state = model.new_state();
  std::vector<float> single;
  for (int32_t token : tokens) single = model.forward({&token, 1}, single_state);
  print_top("token by token", single);

  const double logits = std::max(difference(whole, split), difference(whole, single));
  const double states = std::max(state.max_difference(split_state), state.max_difference(single_state));
  std::printf("largest difference: %.2g of the logits, %.2g of the states\n", logits, states);
  return logits <= tolerance && states <= tolerance ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "forward: %s\n", error.what());
    return 1;
  }
}
