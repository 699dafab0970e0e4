#include "page/inside.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/utf8.h"
#include "checkpoints/health.h"
#include "formats/tensor_file.h"
#include "grammar/grammar_constraint.h"
#include "page/choices.h"
#include "page/decay.h"
#include "page/json_numbers.h"
#include "page/readings.h"
#include "serve/json_fields.h"
#include "serve/openai_request.h"
#include "serve/text_form.h"

namespace aviary {
namespace {

using Json = nlohmann::ordered_json;

constexpr int most_waiting = 16;
constexpr size_t most_readings = 6;
constexpr int64_t most_read = 8192, most_stepped = 512, most_numbers = 400'000;

template <typename Numbers>
Json list_of(const Numbers& numbers) {
  Json list = Json::array();
  for (const auto x : numbers) list.push_back(rounded(x));
  return list;
}

// The text of a token; bytes that are no text as \x00.
std::string text_of(const Tokenizer& tokenizer, int32_t token) {
  const std::string_view bytes = tokenizer.bytes_of(token);
  if (is_utf8(bytes)) return std::string(bytes);
  std::string text;
  for (const char c : bytes) text += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
  return text;
}

// What a request is about: a loaded model, and a text in tokens.
struct Asked {
  std::shared_ptr<ModelHost> host;
  std::string model;
  const Tokenizer& tokenizer() const { return host->tokenizer(); }
};

Asked asked(Inside& inside, const Call& call, const Fields& fields) {
  const std::string name = call.service.model(fields.text("model").value_or("")).name;
  return {.host = inside.host(name), .model = name};
}

void limit(const std::vector<int32_t>& tokens, size_t least, int64_t most) {
  if (tokens.size() < least || std::ssize(tokens) > most)
    refuse_field("text", fmt::format("expected {} to {} tokens, got {}", least, most, tokens.size()));
}

// As completions read it: after the model's token of the beginning, if it has one.
std::vector<int32_t> tokens_of_text(const Asked& asked, const std::string& text, bool begins = true) {
  std::vector<int32_t> tokens;
  if (begins && asked.host->checkpoint().begin_token) tokens.push_back(*asked.host->checkpoint().begin_token);
  asked.tokenizer().encode(text, tokens);
  return tokens;
}

Json texts_of(const Asked& asked, std::span<const int32_t> tokens) {
  Json list = Json::array();
  for (const int32_t token : tokens) list.push_back(text_of(asked.tokenizer(), token));
  return list;
}

std::unique_ptr<Constraint> constraint_of(const Asked& asked, const ResponseFormat& format) {
  if (format.kind == ResponseFormat::Kind::text) return nullptr;
  const std::string name = fmt::format("{} {}", static_cast<int>(format.kind), format.source);
  try {
    return std::make_unique<GrammarConstraint>(
        asked.host->masks(name, [&] { return completion_grammar(format); }));
  } catch (const Error& error) {
    fail_task(TaskError::Kind::bad_request, error.what(), "grammar");
  }
}

std::string next(Call& call, Inside& inside) {
  const Json body = parse_request(call.request.body);
  const Fields fields(body);
  const Asked about = asked(inside, call, fields);
  const RequestBasics basics = read_basics(call, fields);
  std::vector<int32_t> tokens = tokens_of_text(about, fields.text("text").value_or(""));
  if (tokens.empty()) tokens.push_back(about.tokenizer().end_of_text().value_or(0));
  limit(tokens, 1, most_read);
  const Inside::Reading reading = inside.read(about.model + ' ' + call.request.key, *about.host, tokens);
  const auto counted = static_cast<size_t>(fields.integer("counted", 0, most_read).value_or(0));
  const std::span<const int32_t> written = std::span(tokens).last(std::min(counted, tokens.size()));
  const std::unique_ptr<Constraint> constraint = constraint_of(about, basics.options.format);
  const Explanation explanation = explain(reading.logits, basics.options.sampling, written, constraint.get(),
                                          fields.integer("most", 1, 200).value_or(50));
  Json list = Json::array();
  for (const ExplainedToken& one : explanation.tokens)
    list.push_back({{"token", one.token},
                    {"text", text_of(about.tokenizer(), one.token)},
                    {"model", rounded(one.model)},
                    {"penalized", rounded(one.penalized)},
                    {"drawn", rounded(one.drawn)},
                    {"grammar", one.grammar},
                    {"top_k", one.top_k},
                    {"top_p", one.top_p},
                    {"top_a", one.top_a},
                    {"min_p", one.min_p}});
  return json_text({{"tokens", tokens.size()},
                    {"kept", explanation.kept},
                    {"kept_by",
                     {{"grammar", explanation.kept_by_grammar},
                      {"top_k", explanation.kept_by_top_k},
                      {"top_p", explanation.kept_by_top_p},
                      {"top_a", explanation.kept_by_top_a},
                      {"min_p", explanation.kept_by_min_p}}},
                    {"candidates", std::move(list)}});
}

std::string surprise(Call& call, Inside& inside) {
  const Json body = parse_request(call.request.body);
  const Fields fields(body);
  const Asked about = asked(inside, call, fields);
  const std::vector<int32_t> context = tokens_of_text(about, fields.text("context").value_or(""));
  std::vector<int32_t> tokens = context;
  about.tokenizer().encode(fields.required_text("text"), tokens);
  limit(tokens, 2, most_read);
  Runner runner(about.host->model());
  State state = about.host->start() ? *about.host->start() : runner.new_state();
  const std::vector<Surprise> all =
      surprises(runner, tokens, state, fields.integer("top", 0, 10).value_or(5));
  double bits = 0;
  size_t bytes = 0;
  Json list = Json::array();
  for (size_t i = std::max<size_t>(context.size(), 1); i < tokens.size(); ++i) {
    const Surprise& one = all[i - 1];
    bits += one.bits;
    bytes += about.tokenizer().bytes_of(tokens[i]).size();
    Json top = Json::array();
    for (const TokenChance& other : one.top)
      top.push_back({{"text", text_of(about.tokenizer(), other.token)}, {"p", rounded(other.probability)}});
    list.push_back({{"text", text_of(about.tokenizer(), tokens[i])},
                    {"token", tokens[i]},
                    {"bits", rounded(one.bits)},
                    {"rank", one.rank},
                    {"entropy", rounded(one.entropy)},
                    {"top", std::move(top)}});
  }
  const Json first = context.empty() ? Json(text_of(about.tokenizer(), tokens[0])) : Json();
  return json_text({{"first", first},  // is read, but nothing predicts it
                    {"tokens", std::move(list)},
                    {"bits", bits},
                    {"bytes", bytes},
                    {"bits_per_byte", bytes > 0 ? Json(bits / static_cast<double>(bytes)) : Json()}});
}

Json inside_json(std::span<const MemoryHead> heads) {
  Json list = Json::array();
  for (const MemoryHead& head : heads)
    list.push_back({{"layer", head.layer}, {"head", head.head}, {"side", head.side}, {"count", head.count}});
  return list;
}

std::vector<MemoryHead> heads_of(Runner& runner) {
  std::vector<MemoryHead> heads = memory_heads(runner.new_state().layout());
  if (heads.empty())
    fail_task(TaskError::Kind::bad_request,
              "this model has no recurrent memory to look at: it keeps rows of its tokens instead", "model");
  return heads;
}

void limit_numbers(size_t tokens, size_t heads) {
  const auto most = static_cast<size_t>(most_numbers) / heads;
  if (tokens > most)
    refuse_field("text", fmt::format("expected at most {} tokens for a model with {} heads, got {}", most,
                                     heads, tokens));
}

std::string flow_of(Call& call, Inside& inside) {
  const Json body = parse_request(call.request.body);
  const Fields fields(body);
  const Asked about = asked(inside, call, fields);
  const std::vector<int32_t> tokens = tokens_of_text(about, fields.required_text("text"));
  limit(tokens, 1, most_stepped);
  Runner runner(about.host->model());
  const std::vector<MemoryHead> heads = heads_of(runner);
  limit_numbers(tokens.size(), heads.size());
  const Flow result = flow(runner, tokens, heads);
  return json_text({{"heads", inside_json(heads)},
                    {"tokens", texts_of(about, tokens)},
                    {"size", list_of(result.size)},
                    {"change", list_of(result.change)}});
}

std::string head_of(Call& call, Inside& inside) {
  const Json body = parse_request(call.request.body);
  const Fields fields(body);
  const Asked about = asked(inside, call, fields);
  std::vector<int32_t> tokens = tokens_of_text(about, fields.required_text("text"));
  limit(tokens, 1, most_read);
  Runner runner(about.host->model());
  const std::vector<MemoryHead> heads = heads_of(runner);
  const auto index = static_cast<size_t>(fields.integer("head", 0, std::ssize(heads) - 1).value_or(0));
  tokens.resize(
      static_cast<size_t>(fields.integer("tokens", 1, std::ssize(tokens)).value_or(std::ssize(tokens))));
  const Inside::Reading reading = inside.read(about.model + ' ' + call.request.key, *about.host, tokens);
  std::vector<float> numbers(static_cast<size_t>(heads[index].count));
  read_memory(reading.state, heads[index], numbers);
  return json_text(
      {{"head", inside_json(std::span(heads).subspan(index, 1))[0]}, {"numbers", list_of(numbers)}});
}

std::string trace_of(Call& call, Inside& inside) {
  const Json body = parse_request(call.request.body);
  const Fields fields(body);
  const Asked about = asked(inside, call, fields);
  const std::vector<int32_t> before = tokens_of_text(about, fields.text("before").value_or("")),
                             word = tokens_of_text(about, fields.required_text("word"), false),
                             other = tokens_of_text(about, fields.required_text("other"), false),
                             rest = tokens_of_text(about, fields.required_text("rest"), false);
  if (word.empty()) fields.refuse("word", "a word");
  if (other.empty()) fields.refuse("other", "another word");
  limit(rest, 1, most_stepped);
  limit(before, 0, most_read);
  Runner runner(about.host->model());
  const std::vector<MemoryHead> heads = heads_of(runner);
  limit_numbers(rest.size() + 1, heads.size());
  const Trace result = trace(runner, {before, word, other, rest}, heads);
  return json_text({{"heads", inside_json(heads)},
                    {"tokens", texts_of(about, rest)},
                    {"difference", list_of(result.difference)},
                    {"effect", list_of(result.effect)}});
}

std::string forgetting_of(Call& call, Inside& inside) {
  const Json body = parse_request(call.request.body);
  const Fields fields(body);
  const Asked about = asked(inside, call, fields);
  const std::vector<int32_t> tokens = tokens_of_text(about, fields.required_text("text"));
  limit(tokens, 8, 2048);
  Runner runner(about.host->model());
  Json list = Json::array();
  for (const Forgetting& one : forgetting(runner, tokens, fields.integer("places", 1, 32).value_or(8)))
    list.push_back({{"tokens", one.tokens},
                    {"bits", rounded(one.bits)},
                    {"agreement", rounded(one.agreement)},
                    {"places", one.places}});
  return json_text({{"tokens", tokens.size()}, {"curve", std::move(list)}});
}

// The file of a served model, as the service knows it.
TensorFile file_of(const Asked& about) { return read_tensor_file(about.host->file()); }

std::string decay_of(Call& call, Inside& inside) {
  const Json body = parse_request(call.request.body);
  const Asked about = asked(inside, call, Fields(body));
  const DecayAtlas atlas = decay_atlas(file_of(about));
  Json layers = Json::array();
  for (const LayerDecay& layer : atlas.layers)
    layers.push_back(
        {{"layer", layer.layer}, {"tensor", layer.tensor}, {"half_lives", list_of(layer.half_lives)}});
  return json_text({{"note", atlas.note}, {"layers", std::move(layers)}});
}

std::string tensors_of(Call& call, Inside& inside) {
  const Json body = parse_request(call.request.body);
  const Asked about = asked(inside, call, Fields(body));
  const TensorFile file = file_of(about);
  const std::vector<TensorStatistics> statistics = statistics_of(file);
  Json list = Json::array();
  for (size_t i = 0; i < statistics.size(); ++i) {
    const TensorEntry& tensor = file.tensors()[i];
    list.push_back({{"name", tensor.name},
                    {"type", name_of(tensor.dtype)},
                    {"shape", tensor.shape},
                    {"numbers", count_of(tensor)},
                    {"bytes", bytes_of(tensor.dtype, count_of(tensor))},
                    {"min", rounded(statistics[i].smallest)},
                    {"max", rounded(statistics[i].largest)},
                    {"mean", rounded(statistics[i].mean)},
                    {"deviation", rounded(statistics[i].deviation)},
                    {"not_finite", statistics[i].broken}});
  }
  const Health health = health_of(file, statistics);
  return json_text({{"format", file.format()},
                    {"bytes", file.file_bytes()},
                    {"problems", health.problems},
                    {"notes", health.notes},
                    {"tensors", std::move(list)}});
}

}  // namespace

Inside::Reading Inside::read(const std::string& owner, ModelHost& host, const std::vector<int32_t>& tokens) {
  const std::string name = fmt::format("{} {}", owner, host.base().hash);
  auto best = readings_.end();
  for (auto one = readings_.begin(); one != readings_.end(); ++one) {
    const bool begins = one->model == name && one->tokens.size() <= tokens.size() &&
                        std::equal(one->tokens.begin(), one->tokens.end(), tokens.begin());
    if (begins && (best == readings_.end() || one->tokens.size() > best->tokens.size())) best = one;
  }
  if (best != readings_.end() && best->tokens.size() == tokens.size()) {
    readings_.splice(readings_.begin(), readings_, best);
    return readings_.front();
  }
  Runner runner(host.model());
  Reading reading{.model = name, .tokens = tokens};
  size_t at = 0;
  if (best != readings_.end()) {
    reading.state = best->state;
    at = best->tokens.size();
  } else {
    reading.state = host.start() ? *host.start() : runner.new_state();
  }
  constexpr size_t piece = 256;
  while (at < tokens.size()) {
    const auto part = std::span(tokens).subspan(at, std::min(piece, tokens.size() - at));
    const Tensor logits = runner.last_logits(part, Sequences::uniform(1, std::ssize(part)), reading.state);
    reading.logits.assign(logits.as<float>(), logits.as<float>() + logits.count());
    at += part.size();
  }
  readings_.push_front(reading);
  if (readings_.size() > most_readings) readings_.pop_back();
  return reading;
}

void Inside::later(Call& call, std::function<std::string(Call&, Inside&)> work) {
  if (waiting_ >= most_waiting)
    fail_task(TaskError::Kind::overloaded, "the page asks faster than can be answered; try again", "",
              "rate_limit_exceeded");
  ++waiting_;
  queue_.add([this, call, work = std::move(work)]() mutable {
    try {
      if (!call.answer->closed()) respond_json(call, work(call, *this));
    } catch (...) {
      respond_failure(call, task_error_of(std::current_exception()));
    }
    --waiting_;
  });
}

void Inside::add_to(Router& router, const std::shared_ptr<Inside>& self) {
  const auto add = [&](const char* name, std::string (*work)(Call&, Inside&)) {
    router.add({.method = "POST",
                .path = std::string("/v1/aviary/") + name,
                .handle = [self, work](Call& call) { self->later(call, work); }});
  };
  add("next", next);
  add("surprise", surprise);
  add("flow", flow_of);
  add("head", head_of);
  add("trace", trace_of);
  add("forgetting", forgetting_of);
  add("decay", decay_of);
  add("tensors", tensors_of);
}

}  // namespace aviary
