// What a grammar costs per token, and what forced tokens save. Texts are written at random: what the masks
// allow, more often structure than the inside of strings. With --model also the speed of a model with random
// weights.
//   grammar_bench rwkv_vocab_v20230424.txt --model rwkv7:0.1B
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <ctime>
#include <numeric>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/files.h"
#include "base/human.h"
#include "base/random.h"
#include "grammar/grammar_constraint.h"
#include "infer/engine.h"
#include "quant/random_model.h"
#include "text/tokenizer_file.h"

namespace {

using namespace aviary;

// The time that this process, which has one thread here, has computed: other programs do not count.
double microseconds() { return static_cast<double>(std::clock()) * (1e6 / CLOCKS_PER_SEC); }

struct Case {
  const char* name;
  const char* schema;
};

constexpr Case cases[] = {
    {"person", R"({"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer",
        "minimum": 0, "maximum": 150}, "email": {"type": "string", "format": "email"}, "married": {"type": "boolean"}},
        "required": ["name", "age", "email", "married"], "additionalProperties": false})"},
    {"tool call",
     R"({"type": "object", "properties": {"name": {"const": "get_weather"}, "arguments": {"type": "object",
        "properties": {"location": {"type": "string", "maxLength": 80}, "unit": {"enum": ["celsius", "fahrenheit"]},
        "days": {"type": "integer", "minimum": 1, "maximum": 14}}, "required": ["location", "unit"],
        "additionalProperties": false}}, "required": ["name", "arguments"], "additionalProperties": false})"},
    {"orders",
     R"({"type": "object", "properties": {"order_number": {"type": "string", "pattern": "^[A-Z]{2}-[0-9]{6}$"},
        "ordered_at": {"type": "string", "format": "date-time"}, "lines": {"type": "array", "minItems": 1, "maxItems": 20,
        "items": {"type": "object", "properties": {"article": {"type": "string", "minLength": 1, "maxLength": 40},
        "quantity": {"type": "integer", "minimum": 1}, "unit_price": {"type": "number", "minimum": 0, "multipleOf": 0.01}},
        "required": ["article", "quantity", "unit_price"], "additionalProperties": false}}},
        "required": ["order_number", "ordered_at", "lines"], "additionalProperties": false})"},
    {"tree",
     R"({"$ref": "#/$defs/node", "$defs": {"node": {"type": "object", "properties": {"label": {"type": "string"},
        "children": {"type": "array", "maxItems": 3, "items": {"$ref": "#/$defs/node"}}}, "required": ["label", "children"],
        "additionalProperties": false}}})"},
    {"many keys",
     R"({"type": "object", "properties": {"title": {"type": "string"}, "subtitle": {"type": "string"},
        "author": {"type": "string"}, "publisher": {"type": "string"}, "year": {"type": "integer"}, "isbn": {"type": "string"},
        "pages": {"type": "integer"}, "language": {"type": "string"}, "genre": {"type": "string"}, "price": {"type": "number"},
        "currency": {"type": "string"}, "stock": {"type": "integer"}, "rating": {"type": "number"}, "tags": {"type": "array",
        "items": {"type": "string"}}}})"},
    {"any JSON", R"({"type": "object"})"},
};

struct Times {
  std::vector<double> masks;  // microseconds
  int64_t tokens = 0, forced = 0;

  void add(const Times& other) {
    masks.insert(masks.end(), other.masks.begin(), other.masks.end());
    tokens += other.tokens;
    forced += other.forced;
  }
  double mean() const {
    return std::accumulate(masks.begin(), masks.end(), 0.0) / static_cast<double>(masks.size());
  }
  double quantile(double share) {
    const auto place = masks.begin() + static_cast<ptrdiff_t>(share * static_cast<double>(masks.size() - 1));
    std::nth_element(masks.begin(), place, masks.end());
    return *place;
  }
};

// One of the allowed tokens: half of the time one with a quote or bracket, if there is one.
int32_t choose(const Tokenizer& tokenizer, std::span<const float> logits, Random& random) {
  std::vector<int32_t> all, structure;
  for (size_t token = 0; token < logits.size(); ++token) {
    if (logits[token] != 0) continue;
    all.push_back(static_cast<int32_t>(token));
    const std::string_view bytes = tokenizer.bytes_of(all.back());
    if (bytes.empty() || bytes.find_first_of("\"}]") != bytes.npos) structure.push_back(all.back());
  }
  const std::vector<int32_t>& from = !structure.empty() && random.below(10) < 4 ? structure : all;
  return from[static_cast<size_t>(random.below(std::ssize(from)))];
}

Times write_text(const TokenizerPtr& tokenizer, const std::shared_ptr<TokenMasks>& masks, uint64_t seed) {
  constexpr int64_t longest = 400;
  GrammarConstraint constraint(masks);
  Random random(seed);
  std::vector<float> logits(static_cast<size_t>(tokenizer->vocab_size()));
  Times times;
  while (times.tokens < longest && !constraint.complete()) {
    std::fill(logits.begin(), logits.end(), 0.0f);
    const std::span<const int32_t> forced = constraint.forced();
    int32_t token = 0;
    if (forced.empty()) {
      const double start = microseconds();
      constraint.allow(logits);
      const double allowed = microseconds() - start;
      token = choose(*tokenizer, logits, random);
      if (token == 0) break;  // the end
      const double accepting = microseconds();
      constraint.accept(token);
      constraint.forced();
      times.masks.push_back(allowed + microseconds() - accepting);
    } else {
      token = forced.front();
      ++times.forced;
      constraint.accept(token);
    }
    ++times.tokens;
  }
  return times;
}

void print(const char* name, Times& times) {
  fmt::print("{:<12} {:>7} {:>8.1f} {:>8.1f} {:>8.1f} {:>8.1f} {:>9.1f} %\n", name, with_commas(times.tokens),
             times.mean(), times.quantile(0.5), times.quantile(0.99), times.quantile(1),
             100.0 * static_cast<double>(times.forced) / static_cast<double>(times.tokens));
}

void measure_masks(const TokenizerPtr& tokenizer, const TokenTrie::Ptr& trie, int texts) {
  fmt::print("microseconds per mask (with its application and the step to the next token)\n");
  fmt::print("{:<12} {:>7} {:>8} {:>8} {:>8} {:>8} {:>11}\n", "", "tokens", "mean", "median", "p99",
             "largest", "forced");
  for (const bool first : {true, false}) {
    fmt::print("{}\n",
               first ? "each text as the first of its grammar" : "all texts of a grammar share its masks");
    Times all;
    for (const Case& one : cases) {
      const Grammar::Ptr grammar = Grammar::from_json_schema_text(one.schema);
      auto masks = std::make_shared<TokenMasks>(grammar, trie);
      Times times;
      for (int seed = 0; seed < texts; ++seed) {
        if (first) masks = std::make_shared<TokenMasks>(grammar, trie);
        times.add(write_text(tokenizer, masks, static_cast<uint64_t>(seed)));
      }
      print(one.name, times);
      all.add(times);
    }
    print("all", all);
  }
}

// Tokens per second of texts of one schema: without a grammar, with masks, and with forced tokens in one
// step.
void measure_model(const TokenizerPtr& tokenizer, const TokenTrie::Ptr& trie, const std::string& size,
                   int64_t tokens) {
  const std::unique_ptr<Model> model = make_random_model(parse_model_size(size), Dtype::bf16);
  fmt::print("{}: tokens/s without grammar, with masks only, with forced tokens\n", size);
  for (const Case& one : cases) {
    const Grammar::Ptr grammar = Grammar::from_json_schema_text(one.schema);
    const auto masks = std::make_shared<TokenMasks>(grammar, trie);
    fmt::print("{:<12}", one.name);
    for (const int way : {0, 1, 2}) {
      Runner runner(*model);
      Engine engine(runner, *tokenizer);
      double seconds = 0;
      int64_t written = 0;
      for (uint64_t seed = 0; written < tokens; ++seed) {
        Request request{.tokens = tokenizer->encode("A text in JSON: "),
                        .writing = {.tokens = 200, .sampling = {.temperature = 1, .top_p = 1, .seed = seed}}};
        // The same tokens in both ways: they are forced, but read one by one.
        if (way > 0) request.constraint = std::make_unique<GrammarConstraint>(masks, way == 2);
        request.done = [&](Finished end) {
          if (end.error) std::rethrow_exception(end.error);
          seconds += end.seconds;
          written += end.tokens;
        };
        engine.submit(std::move(request));
        while (engine.step()) {
        }
      }
      fmt::print(" {:>8.1f}", static_cast<double>(written) / seconds);
      std::fflush(stdout);
    }
    fmt::print("\n");
  }
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("The cost of grammars per token, and the gain of forced tokens");
  std::string vocabulary, model;
  int texts = 30;
  int64_t tokens = 1000;
  app.add_option("vocabulary", vocabulary, "A World vocabulary, or another tokenizer")->required();
  app.add_option("--texts", texts, "Texts per schema")->capture_default_str();
  app.add_option("--model", model, "Sizes of a model with random weights, e.g. rwkv7:0.1B");
  app.add_option("--tokens", tokens, "Tokens to write with this model per schema and way")
      ->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  try {
    const TokenizerPtr tokenizer = read_tokenizer(read_file(vocabulary, largest_tokenizer_file), vocabulary);
    const double start = microseconds();
    const auto trie = std::make_shared<const TokenTrie>(*tokenizer);
    fmt::print("{} tokens, {} nodes of their trie, built in {:.1f} ms\n",
               with_commas(tokenizer->vocab_size()), with_commas(std::ssize(trie->nodes())),
               (microseconds() - start) / 1000);
    measure_masks(tokenizer, trie, texts);
    if (!model.empty()) measure_model(tokenizer, trie, model, tokens);
  } catch (const Error& error) {
    fmt::print(stderr, "grammar_bench: {}\n", error.what());
    return 1;
  }
  return 0;
}
