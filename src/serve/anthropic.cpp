#include "serve/anthropic.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <memory>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>
#include <vector>

#include "serve/anthropic_reply.h"
#include "serve/anthropic_request.h"
#include "serve/json_fields.h"
#include "serve/protocols.h"

namespace aviary {

using Json = nlohmann::ordered_json;

namespace {

std::string_view error_type(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 413:
      return "request_too_large";
    case 429:
      return "rate_limit_error";
    case 503:
      return "overloaded_error";
    default:
      return status < 500 ? "invalid_request_error" : "api_error";
  }
}

// Answers with a message when the task has ended, or with its events while it runs.
class MessageSink : public TaskSink {
 public:
  MessageSink(const Call& call, std::string model, bool stream)
      : call_(call), reply_(new_id("msg_"), std::move(model), stream ? emitter() : AnthropicReply::Emit()) {
    if (!stream) return;
    events_ = std::make_shared<EventStream>(call_.answer, "event: ping\ndata: {\"type\":\"ping\"}\n\n");
    events_->begin_when_waiting(request_id_headers(call_.request.id));
    call_.router.watch(events_);
  }

  void started(const Usage& usage) override {
    if (events_) events_->begin(request_id_headers(call_.request.id));
    reply_.started(usage);
  }
  void progress(int64_t, int64_t, int64_t) override {}
  void delta(const Delta& delta) override { reply_.delta(delta); }
  void choice_end(const ChoiceEnd& end) override {
    canceled_ = end.reason == FinishReason::canceled;
    if (!canceled_) reply_.end(end);
    state_ = end.state;
  }
  void finished(const Usage& usage) override {
    if (canceled_)
      return failed({.kind = TaskError::Kind::unavailable, .message = "the request was canceled"});
    reply_.finished(usage);
    if (events_) return events_->end();
    respond_json(call_, json_text(reply_.message()), 200, state_);
  }
  void failed(const TaskError& error) override {
    if (!events_ || events_->give_up()) return respond_failure(call_, error);
    events_->event(
        "error",
        anthropic_error({.status = status_of(error), .error = error, .request_id = call_.request.id}));
    events_->end();
  }
  bool abandoned() const override { return call_.answer->closed(); }
  bool busy() const override { return call_.answer->lagging(); }

 private:
  AnthropicReply::Emit emitter() {
    return [this](const Json& event) {
      events_->event(event["type"].get_ref<const std::string&>(), json_text(event));
    };
  }

  const Call call_;
  AnthropicReply reply_;
  std::shared_ptr<EventStream> events_;  // none: the answer comes in one piece
  bool canceled_ = false;
  std::string state_;  // that was kept
};

void serve_messages(Call& call) {
  AnthropicRequest request = read_anthropic_request(parse_request(call.request.body), call);
  call.request.body.clear();
  auto sink = std::make_shared<MessageSink>(call, request.task.model, request.stream);
  call.service.chat(std::move(request.task), std::move(sink));
}

void serve_count(Call& call) {
  const AnthropicRequest request = read_anthropic_request(parse_request(call.request.body), call);
  respond_json(call, json_text({{"input_tokens", call.service.count_tokens(request.task)}}));
}

Json anthropic_model(const ModelInfo& model) {
  return {{"type", "model"},
          {"id", model.name},
          {"display_name", model.name},
          {"created_at",
           fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(static_cast<std::time_t>(model.created)))}};
}

void serve_anthropic_models(Call& call) {
  Json data = Json::array();
  for (const ModelInfo& model : call.service.models()) data.push_back(anthropic_model(model));
  const Json first = data.empty() ? Json() : data.front()["id"];
  const Json last = data.empty() ? Json() : data.back()["id"];
  respond_json(call,
               json_text({{"data", data}, {"has_more", false}, {"first_id", first}, {"last_id", last}}));
}

void serve_anthropic_model(Call& call) {
  respond_json(call, json_text(anthropic_model(call.service.model(call.parts[0]))));
}

}  // namespace

void add_anthropic(Router& router) {
  auto add = [&](const char* method, const char* path, void (*handle)(Call&), const char* header = "") {
    router.add(
        {.method = method, .path = path, .handle = handle, .error = anthropic_error, .header = header});
  };
  add("POST", "/v1/messages", serve_messages);
  add("POST", "/v1/messages/count_tokens", serve_count);
  add("GET", "/v1/models", serve_anthropic_models, "anthropic-version");
  add("GET", "/v1/models/{id}", serve_anthropic_model, "anthropic-version");
  router.add_form("/v1/messages", anthropic_error);
}

std::string anthropic_error(const Failure& failure) {
  return json_text({{"type", "error"},
                    {"error", {{"type", error_type(failure.status)}, {"message", failure.error.message}}},
                    {"request_id", failure.request_id}});
}

}  // namespace aviary
