// POST /v1/completions
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "base/utf8.h"
#include "serve/openai_reply.h"

namespace aviary {
namespace {

using Json = nlohmann::ordered_json;

// The number of characters, as OpenAI counts offsets; a byte that is not UTF-8 counts as one.
int64_t characters(std::string_view text) {
  int64_t count = 0;
  for (; !text.empty(); ++count) text.remove_prefix(static_cast<size_t>(std::max(utf8_step(text).length, 1)));
  return count;
}

// The text of a token, or "bytes:\\xc3" for one that is not UTF-8 alone: OpenAI's spelling, which keeps
// different tokens apart.
std::string token_text(const std::string& bytes) {
  if (is_utf8(bytes)) return bytes;
  std::string text = "bytes:";
  for (char c : bytes) text += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
  return text;
}

// The first token of a text that begins with the prompt has no probability: null.
Json logprob_json(double logprob, bool unknown) { return unknown ? Json() : Json(finite_logprob(logprob)); }

// `offset`: characters before the first of these tokens. `start`: whether it is the first token of the text
// that the model read, for which there is no prediction.
Json completion_logprobs(const std::vector<TokenLogprob>& logprobs, int64_t offset, bool start) {
  Json tokens = Json::array(), values = Json::array(), tops = Json::array(), offsets = Json::array();
  for (const TokenLogprob& token : logprobs) {
    const bool unknown = start && tokens.empty();
    tokens.push_back(token_text(token.bytes));
    values.push_back(logprob_json(token.logprob, unknown));
    Json top = Json::object();
    for (const auto& other : token.top) top[token_text(other.bytes)] = finite_logprob(other.logprob);
    tops.push_back(unknown || top.empty() ? Json() : std::move(top));
    offsets.push_back(offset);
    offset += characters(token.bytes);
  }
  return {{"tokens", std::move(tokens)},
          {"token_logprobs", std::move(values)},
          {"top_logprobs", std::move(tops)},
          {"text_offset", std::move(offsets)}};
}

class CompletionForm : public TextForm {
 public:
  CompletionForm(ReplyHead head, const CompletionTask& task)
      : head_(std::move(head)), logprobs_(task.options.logprobs), echo_(task.echo) {}

  Json whole(const std::vector<ChoiceText>& choices, const Usage& usage) const override {
    Json list = Json::array();
    for (const ChoiceText& choice : choices) {
      Json one = choice_json(choice.end.choice, choice.content);
      if (logprobs_) one["logprobs"] = completion_logprobs(choice.logprobs, 0, echo_);
      one["finish_reason"] = reason_text(choice.end.reason);
      add_state(choice.end, one);
      list.push_back(std::move(one));
    }
    Json reply = head_.object("text_completion", std::move(list));
    reply["usage"] = usage_json(usage);
    reply["timings"] = timings_json(usage);
    return reply;
  }

  Json piece(const Delta& delta) const override {
    Json one = choice_json(delta.choice, delta.content);
    int64_t& offset = offset_of(delta.choice);
    if (!delta.logprobs.empty()) {
      one["logprobs"] = completion_logprobs(delta.logprobs, offset, echo_ && offset == 0);
      for (const TokenLogprob& token : delta.logprobs) offset += characters(token.bytes);
    }
    return chunk(std::move(one));
  }

  Json last(const ChoiceText& text, const Usage* usage) const override {
    Json one = choice_json(text.end.choice, "");
    one["finish_reason"] = reason_text(text.end.reason);
    add_state(text.end, one);
    Json event = chunk(std::move(one));
    if (usage != nullptr) event["timings"] = timings_json(*usage);
    return event;
  }

  std::vector<Json> after(const Usage& usage) const override {
    if (!head_.include_usage) return {};
    Json event = head_.object("text_completion", Json::array());
    event["usage"] = usage_json(usage);
    return {event};
  }

  Json progress(int64_t read, int64_t cached, int64_t total, double seconds) const override {
    Json event = chunk(choice_json(0, ""));
    event["prompt_progress"] = progress_json(read, cached, total, seconds);
    return event;
  }

 private:
  Json chunk(Json one_choice) const {
    Json event = head_.object("text_completion", Json::array({std::move(one_choice)}));
    add_no_usage(head_, event);
    return event;
  }
  static Json choice_json(int64_t index, const std::string& text) {
    return {{"index", index}, {"text", text}, {"logprobs", nullptr}, {"finish_reason", nullptr}};
  }
  int64_t& offset_of(int64_t choice) const {
    const auto index = static_cast<size_t>(choice);
    if (offsets_.size() <= index) offsets_.resize(index + 1);
    return offsets_[index];
  }

  const ReplyHead head_;
  const bool logprobs_, echo_;
  mutable std::vector<int64_t> offsets_;  // characters of the tokens sent so far, of each choice
};

// A number as in OpenAI's interface; `true`, which some clients send, is 0 alternatives.
void read_completion_logprobs(const Fields& fields, TaskOptions& options) {
  const Json* value = fields.find("logprobs");
  if (value == nullptr || *value == false) return;
  options.logprobs = true;
  if (!value->is_boolean()) options.top_logprobs = *fields.integer("logprobs", 0, 20);
}

CompletionTask read_completion(const Call& call, const Fields& fields, RequestBasics& basics) {
  basics = read_basics(call, fields);
  CompletionTask task;
  task.model = basics.model.name;
  task.prompts = prompts_of(fields.at("prompt", "a text, a list of texts or token ids"), "prompt");
  task.echo = fields.flag("echo").value_or(false);
  if (const auto suffix = fields.text("suffix"); suffix && !suffix->empty())
    refuse_field("suffix", "a text cannot be filled in between two others here; leave it out");
  TaskOptions& options = basics.options;
  read_max_tokens(call, fields, {"max_tokens", "max_completion_tokens", "n_predict"}, options);
  options.choices = fields.integer("n", 1, 128).value_or(1);
  options.best_of = fields.integer("best_of", 1, 128).value_or(0);
  if (options.best_of > 0 && options.best_of < options.choices)
    refuse_field("best_of", "expected at least n texts");
  if (options.best_of > options.choices && basics.stream)
    refuse_field("best_of", "a stream cannot wait for the best texts; expected n, or no stream");
  read_completion_logprobs(fields, options);
  task.options = options;
  return task;
}

void serve_openai_completion(Call& call) {
  const Json body = parse_request(call.request.body);
  RequestBasics basics;
  CompletionTask task = read_completion(call, Fields(body), basics);
  const auto choices = static_cast<int64_t>(task.prompts.size()) * task.options.choices;
  auto form = std::make_unique<CompletionForm>(ReplyHead("cmpl-", call, basics), task);
  const auto sink = std::make_shared<TextSink>(call, std::move(form), basics.stream, choices);
  call.router.watch(sink);
  call.service.complete(std::move(task), sink);
}

}  // namespace

void add_openai_completions(Router& router) {
  add_with_and_without_v1(router, "POST", "/v1/completions", serve_openai_completion);
}

}  // namespace aviary
