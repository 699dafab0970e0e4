#include "serve/responses.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/json.h"
#include "base/quotes.h"
#include "serve/json_fields.h"
#include "serve/openai_reply.h"
#include "serve/protocols.h"
#include "serve/response_reply.h"
#include "serve/response_request.h"

namespace aviary {

using Json = nlohmann::ordered_json;

namespace {

using Store = std::shared_ptr<ResponseStore>;

// Answers with the response when the task has ended, or with its events while it runs, or, in the background,
// not at all; and stores it.
class ResponseSink : public TaskSink {
 public:
  ResponseSink(const Call& call, ResponseRequest&& request, Store store)
      : call_(call),
        reply_(std::move(request.response), request.stream ? emitter() : ResponseReply::Emit()),
        input_(std::move(request.input)),
        store_(request.store ? std::move(store) : nullptr) {
    if (request.background) task_ = std::make_shared<BackgroundTask>();
    answered_ = request.background && !request.stream;
    if (!request.stream) return;
    events_ = std::make_shared<EventStream>(call_.answer);
    events_->begin_when_waiting(request_id_headers(call_.request.id));
    call_.router.watch(events_);
  }

  // The task of a response in the background, else nullptr. It is known to others from here on.
  std::shared_ptr<BackgroundTask> enter_background(const std::string& json) {
    if (task_) store_->put(call_.request.key, stored(json, task_));
    return task_;
  }

  void started(const Usage&) override {
    if (task_) store_->update(call_.request.key, stored(json_text(reply_.response()), task_));
    begin();
  }
  void progress(int64_t, int64_t, int64_t) override {}
  void delta(const Delta& delta) override { reply_.delta(delta); }
  void choice_end(const ChoiceEnd& end) override {
    reply_.end(end);
    state_ = end.state;
  }
  void finished(const Usage& usage) override {
    reply_.finished(usage, now_seconds());
    if (task_ || begun() || reply_.response()["status"] != "cancelled") keep();
    answer();
  }
  void failed(const TaskError& error) override {
    const bool has_begun = events_ && !events_->give_up();
    if (has_begun) begin();
    reply_.failed(error);
    if (task_ || has_begun) keep();
    if (has_begun) return answer();
    if (!answered_) respond_failure(call_, error);
  }
  bool abandoned() const override { return task_ ? task_->stopped.load() : call_.answer->closed(); }
  bool busy() const override { return !task_ && call_.answer->lagging(); }

 private:
  ResponseReply::Emit emitter() {
    return [this](const Json& event) {
      events_->event(event["type"].get_ref<const std::string&>(), json_text(event));
    };
  }
  bool begun() const { return events_ && events_->begun(); }

  // The client is told that there is a response, if it wants to know before the end.
  void begin() {
    if (!events_ || std::exchange(announced_, true)) return;
    events_->begin(request_id_headers(call_.request.id));
    reply_.started();
  }

  StoredResponse stored(std::string json, std::shared_ptr<BackgroundTask> task) const {
    StoredResponse response = {.id = reply_.response()["id"].get<std::string>(),
                               .json = std::move(json),
                               .input = input_,
                               .task = std::move(task)};
    for (const Json& item : reply_.response()["output"])
      response.output.push_back(store_->item(item["id"].get<std::string>(), json_text(item)));
    return response;
  }

  // Before the client is told the end, since it may go on from the response at once.
  void keep() {
    if (!store_) return;
    StoredResponse response = stored(json_text(reply_.response()), nullptr);
    if (task_)
      store_->update(call_.request.key, std::move(response));
    else
      store_->put(call_.request.key, std::move(response));
  }

  void answer() {
    if (answered_) return;
    if (!events_) return respond_json(call_, json_text(reply_.response()), 200, state_);
    reply_.announce_end();
    events_->end();
  }

  const Call call_;
  ResponseReply reply_;
  const StoredItems input_;
  const Store store_;                     // none: the response is not stored
  std::shared_ptr<EventStream> events_;   // none: the answer comes in one piece
  std::shared_ptr<BackgroundTask> task_;  // of a response in the background
  bool answered_ = false;                 // nobody waits for the end
  bool announced_ = false;                // the client knows of the response
  std::string state_;                     // that was kept
};

void create(Call& call, const Store& store) {
  ResponseRequest request =
      read_response_request(parse_request(call.request.body), new_id("resp_"), call, *store);
  call.request.body.clear();
  ChatTask task = std::move(request.task);
  Json queued = request.response;
  queued["status"] = "queued";
  const bool answers_now = request.background && !request.stream;
  const auto sink = std::make_shared<ResponseSink>(call, std::move(request), store);
  const std::string text = json_text(queued);
  const std::shared_ptr<BackgroundTask> background = sink->enter_background(text);
  if (answers_now) respond_json(call, text);
  const Service::Ticket ticket = call.service.chat(std::move(task), sink);
  if (background) background->ticket = ticket;
}

void count(Call& call, const Store& store) {
  const ResponseRequest request =
      read_response_request(parse_request(call.request.body), new_id("resp_"), call, *store);
  respond_json(call, json_text({{"object", "response.input_tokens"},
                                {"input_tokens", call.service.count_tokens(request.task)}}));
}

[[noreturn]] void refuse_unknown_response(const std::string& id) {
  throw TaskFailure(
      {.kind = TaskError::Kind::not_found,
       .message = fmt::format("there is no response {}; it may have been forgotten", in_quotes(id)),
       .param = "response_id"});
}

std::shared_ptr<const StoredResponse> find(const Call& call, const Store& store) {
  const auto response = store->find(call.request.key, call.parts[0]);
  if (response == nullptr) refuse_unknown_response(call.parts[0]);
  return response;
}

void retrieve(Call& call, const Store& store) {
  const std::string* stream = call.request.value("stream");
  if (stream != nullptr && *stream == "true")
    refuse_field("stream", "a stored response has no events any longer; ask for it without stream");
  respond_json(call, find(call, store)->json);
}

void erase_response(Call& call, const Store& store) {
  const std::string& id = call.parts[0];
  const auto response = find(call, store);
  if (response->task && response->task->ticket != 0) call.service.cancel(response->task->ticket);
  if (!store->erase(call.request.key, id)) refuse_unknown_response(id);
  respond_json(call, json_text({{"id", id}, {"object", "response"}, {"deleted", true}}));
}

void cancel(Call& call, const Store& store) {
  const auto response = find(call, store);
  Json json = parse_ordered_json(response->json, "a stored response", request_json_depth);
  if (json["background"] != true)
    refuse_field("response_id", "only a response that is made in the background can be canceled");
  if (response->task == nullptr) return respond_json(call, response->json);
  json["status"] = "cancelled";
  StoredResponse ended = *response;
  ended.json = json_text(json);
  ended.task = nullptr;
  response->task->stopped = true;
  if (response->task->ticket != 0) call.service.cancel(response->task->ticket);
  store->update(call.request.key, std::move(ended));
  respond_json(call, find(call, store)->json);
}

// A whole number of the query.
size_t limit_of(const ServeRequest& request, size_t usual, size_t most) {
  const std::string* text = request.value("limit");
  if (text == nullptr) return usual;
  size_t limit = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), limit);
  if (error != std::errc() || end != text->data() + text->size() || limit < 1 || limit > most)
    refuse_field("limit",
                 fmt::format("expected a whole number from 1 to {}, got {}", most, in_quotes(*text)));
  return limit;
}

// All that the model was given but for instructions, the newest first unless asked otherwise.
void list_input(Call& call, const Store& store) {
  StoredItems items = find(call, store)->input;
  const std::string* order = call.request.value("order");
  if (order != nullptr && *order != "asc" && *order != "desc")
    refuse_field("order", fmt::format("expected \"asc\" or \"desc\", got {}", in_quotes(*order)));
  if (order == nullptr || *order == "desc") std::reverse(items.begin(), items.end());
  if (const std::string* after = call.request.value("after")) {
    const auto found =
        std::find_if(items.begin(), items.end(), [&](const auto& item) { return item->id == *after; });
    if (found == items.end()) refuse_field("after", fmt::format("there is no item {}", in_quotes(*after)));
    items.erase(items.begin(), found + 1);
  }
  const size_t size = std::min(items.size(), limit_of(call.request, 20, 100));
  Json data = Json::array();
  for (size_t i = 0; i < size; ++i) data.push_back(parse_ordered_json(items[i]->json, "a stored item"));
  respond_json(call, json_text({{"object", "list"},
                                {"data", data},
                                {"first_id", size == 0 ? Json() : Json(items.front()->id)},
                                {"last_id", size == 0 ? Json() : Json(items[size - 1]->id)},
                                {"has_more", size < items.size()}}));
}

}  // namespace

void add_responses(Router& router) {
  add_responses(router, std::make_shared<ResponseStore>(ResponseStore::Limits{}));
}

void add_responses(Router& router, std::shared_ptr<ResponseStore> store) {
  auto add = [&](const char* method, const std::string& path, void (*handle)(Call&, const Store&)) {
    add_with_and_without_v1(router, method, "/v1/responses" + path,
                            [store, handle](Call& call) { handle(call, store); });
  };
  add("POST", "", create);
  add("POST", "/input_tokens", count);
  add("POST", "/{id}/cancel", cancel);
  add("GET", "/{id}/input_items", list_input);
  add("GET", "/{id}", retrieve);
  add("DELETE", "/{id}", erase_response);
}

}  // namespace aviary
