// POST /v1/chat/completions and /v1/chat/completions/input_tokens
#include <memory>
#include <utility>

#include "serve/openai_reply.h"

namespace aviary {
namespace {

using Json = nlohmann::ordered_json;

Json chat_logprobs(const std::vector<TokenLogprob>& logprobs) {
  return {{"content", logprob_list(logprobs)}, {"refusal", nullptr}};
}

class ChatForm : public TextForm {
 public:
  ChatForm(ReplyHead head, const TaskOptions& options)
      : head_(std::move(head)), choices_(options.choices), logprobs_(options.logprobs) {}

  Json whole(const std::vector<ChoiceText>& choices, const Usage& usage) const override {
    Json list = Json::array();
    for (const ChoiceText& choice : choices) list.push_back(choice_json(choice));
    Json reply = head_.object("chat.completion", std::move(list));
    reply["usage"] = usage_json(usage);
    reply["timings"] = timings_json(usage);
    return reply;
  }

  std::vector<Json> first() const override {
    std::vector<Json> chunks;
    for (int64_t i = 0; i < choices_; ++i)
      chunks.push_back(chunk(choice(i, {{"role", "assistant"}, {"content", ""}})));
    return chunks;
  }

  Json piece(const Delta& delta) const override {
    Json fields = Json::object();
    if (!delta.reasoning.empty()) fields["reasoning_content"] = delta.reasoning;
    if (!delta.content.empty()) fields["content"] = delta.content;
    if (delta.call) fields["tool_calls"] = Json::array({call_piece(*delta.call)});
    Json part = choice(delta.choice, fields.empty() ? Json{{"content", ""}} : std::move(fields));
    if (!delta.logprobs.empty()) part["logprobs"] = chat_logprobs(delta.logprobs);
    return chunk(std::move(part));
  }

  Json last(const ChoiceText& text, const Usage* usage) const override {
    Json part = choice(text.end.choice, Json::object());
    part["finish_reason"] = reason_text(text.end.reason);
    add_state(text.end, part);
    Json event = chunk(std::move(part));
    if (usage != nullptr) event["timings"] = timings_json(*usage);
    return event;
  }

  std::vector<Json> after(const Usage& usage) const override {
    if (!head_.include_usage) return {};
    Json event = head_.object("chat.completion.chunk", Json::array());
    event["usage"] = usage_json(usage);
    return {event};
  }

  Json progress(int64_t read, int64_t cached, int64_t total, double seconds) const override {
    Json event = chunk(choice(0, Json::object()));
    event["prompt_progress"] = progress_json(read, cached, total, seconds);
    return event;
  }

 private:
  Json chunk(Json one_choice) const {
    Json event = head_.object("chat.completion.chunk", Json::array({std::move(one_choice)}));
    add_no_usage(head_, event);
    return event;
  }
  static Json choice(int64_t index, Json delta) {
    return {{"index", index}, {"delta", std::move(delta)}, {"logprobs", nullptr}, {"finish_reason", nullptr}};
  }
  static Json call_piece(const Delta::Call& call) {
    Json piece = {{"index", call.index}};
    Json function = Json::object();
    if (!call.id.empty()) piece["id"] = call.id, piece["type"] = "function";
    if (!call.name.empty()) function["name"] = call.name;
    function["arguments"] = call.arguments;
    piece["function"] = std::move(function);
    return piece;
  }
  Json choice_json(const ChoiceText& choice) const {
    Json message = {{"role", "assistant"}, {"content", choice.content}, {"refusal", nullptr}};
    if (!choice.reasoning.empty()) message["reasoning_content"] = choice.reasoning;
    if (!choice.calls.empty()) {
      if (choice.content.empty()) message["content"] = nullptr;
      message["tool_calls"] = Json::array();
      for (const ToolCall& call : choice.calls)
        message["tool_calls"].push_back({{"id", call.id},
                                         {"type", "function"},
                                         {"function", {{"name", call.name}, {"arguments", call.arguments}}}});
    }
    Json one = {{"index", choice.end.choice},
                {"message", std::move(message)},
                {"logprobs", logprobs_ ? chat_logprobs(choice.logprobs) : Json()},
                {"finish_reason", reason_text(choice.end.reason)}};
    add_state(choice.end, one);
    return one;
  }

  const ReplyHead head_;
  const int64_t choices_;
  const bool logprobs_;
};

void serve_chat(Call& call) {
  const Json body = parse_request(call.request.body);
  RequestBasics basics;
  ChatTask task = read_chat(call, Fields(body), basics);
  auto form = std::make_unique<ChatForm>(ReplyHead("chatcmpl-", call, basics), task.options);
  const auto sink = std::make_shared<TextSink>(call, std::move(form), basics.stream, task.options.choices);
  call.router.watch(sink);
  call.service.chat(std::move(task), sink);
}

void serve_input_tokens(Call& call) {
  const Json body = parse_request(call.request.body);
  RequestBasics basics;
  const ChatTask task = read_chat(call, Fields(body), basics);
  respond_json(call, json_text({{"object", "response.input_tokens"},
                                {"input_tokens", call.service.count_tokens(task)}}));
}

}  // namespace

void add_openai_chat(Router& router) {
  add_with_and_without_v1(router, "POST", "/v1/chat/completions", serve_chat);
  add_with_and_without_v1(router, "POST", "/v1/chat/completions/input_tokens", serve_input_tokens);
}

}  // namespace aviary
