// POST /completion and /completions in the form of llama.cpp's server.
#include <memory>
#include <utility>

#include "serve/llama.h"
#include "serve/openai_reply.h"

namespace aviary {
namespace {

using Json = nlohmann::ordered_json;

Json llama_token(int32_t token, const std::string& bytes, double logprob) {
  return {
      {"id", token}, {"token", bytes}, {"bytes", bytes_json(bytes)}, {"logprob", finite_logprob(logprob)}};
}

Json probabilities_json(const std::vector<TokenLogprob>& logprobs) {
  Json list = Json::array();
  for (const TokenLogprob& token : logprobs) {
    Json entry = llama_token(token.token, token.bytes, token.logprob);
    entry["top_logprobs"] = Json::array();
    for (const auto& other : token.top)
      entry["top_logprobs"].push_back(llama_token(other.token, other.bytes, other.logprob));
    list.push_back(std::move(entry));
  }
  return list;
}

Json tokens_json(const std::vector<TokenLogprob>& logprobs) {
  Json list = Json::array();
  for (const TokenLogprob& token : logprobs) list.push_back(token.token);
  return list;
}

std::string_view stop_type(const ChoiceEnd& end) {
  if (!end.stop_string.empty()) return "word";
  return end.reason == FinishReason::stop ? "eos" : end.reason == FinishReason::length ? "limit" : "none";
}

class LlamaForm : public TextForm {
 public:
  // tokens: report the ids; probabilities: and how probable they were.
  LlamaForm(std::string model, bool tokens, bool probabilities)
      : model_(std::move(model)), tokens_(tokens), probabilities_(probabilities) {}

  Json whole(const std::vector<ChoiceText>& choices, const Usage& usage) const override {
    Json list = Json::array();
    for (const ChoiceText& choice : choices) list.push_back(ended(choice, &usage));
    return list.size() == 1 ? Json(list[0]) : list;
  }
  Json piece(const Delta& delta) const override {
    Json event = text_json(delta.choice, delta.content, delta.logprobs);
    event["stop"] = false;
    return event;
  }
  Json last(const ChoiceText& choice, const Usage* usage) const override { return ended(choice, usage); }
  std::vector<Json> after(const Usage&) const override { return {}; }
  Json progress(int64_t read, int64_t cached, int64_t total, double seconds) const override {
    Json event = text_json(0, "", {});
    event["stop"] = false;
    event["prompt_progress"] = progress_json(read, cached, total, seconds);
    return event;
  }
  bool ends_with_done() const override { return false; }

 private:
  Json text_json(int64_t index, const std::string& text, const std::vector<TokenLogprob>& logprobs) const {
    Json event = {{"index", index}, {"content", text}};
    event["tokens"] = tokens_ ? tokens_json(logprobs) : Json::array();
    if (probabilities_) event["completion_probabilities"] = probabilities_json(logprobs);
    event["id_slot"] = index;
    return event;
  }
  Json ended(const ChoiceText& choice, const Usage* usage) const {
    Json event = text_json(choice.end.choice, choice.content, choice.logprobs);
    event["stop"] = true;
    event["model"] = model_;
    event["stop_type"] = stop_type(choice.end);
    event["stopping_word"] = choice.end.stop_string;
    event["truncated"] = false;
    event["tokens_predicted"] = choice.end.tokens;
    add_state(choice.end, event);
    if (usage == nullptr) return event;
    event["tokens_evaluated"] = usage->prompt_tokens;
    event["tokens_cached"] = usage->cached_tokens;
    event["timings"] = timings_json(*usage);
    return event;
  }

  const std::string model_;
  const bool tokens_, probabilities_;
};

// Also {"prompt_string": "..."}, as llama.cpp takes it.
std::vector<Prompt> read_prompts(const Fields& fields) {
  const Json& prompt = fields.at("prompt", "a text, a list of texts or token ids");
  if (prompt.is_object()) return {fields.object("prompt")->required_text("prompt_string")};
  return prompts_of(prompt, "prompt");
}

void serve_llama_completion(Call& call) {
  const Json body = parse_request(call.request.body);
  const Fields fields(body);
  RequestBasics basics = read_basics(call, fields);
  CompletionTask task;
  task.model = basics.model.name;
  task.prompts = read_prompts(fields);
  task.options = basics.options;
  TaskOptions& options = task.options;
  read_max_tokens(call, fields, {"n_predict", "max_tokens"}, options);
  options.choices = fields.integer("n", 1, 128).value_or(1);
  options.top_logprobs = fields.integer("n_probs", 0, 200).value_or(0);
  const bool tokens = fields.flag("return_tokens").value_or(false);
  const bool probabilities = options.top_logprobs > 0;
  options.logprobs = tokens || probabilities;
  const auto choices = static_cast<int64_t>(task.prompts.size()) * options.choices;
  auto form = std::make_unique<LlamaForm>(basics.model.name, tokens, probabilities);
  const auto sink = std::make_shared<TextSink>(call, std::move(form), basics.stream, choices);
  call.router.watch(sink);
  call.service.complete(std::move(task), sink);
}

}  // namespace

void add_llama_completion(Router& router) {
  for (const char* path : {"/completion", "/v1/completion"})
    router.add({.method = "POST", .path = path, .handle = serve_llama_completion});
}

}  // namespace aviary
