#include "serve/text_sink.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "serve/json_fields.h"

namespace aviary {
namespace {

using Json = nlohmann::ordered_json;

void append(ChoiceText& choice, const Delta& delta) {
  choice.reasoning += delta.reasoning;
  choice.content += delta.content;
  choice.logprobs.insert(choice.logprobs.end(), delta.logprobs.begin(), delta.logprobs.end());
  if (!delta.call) return;
  const auto index = static_cast<size_t>(delta.call->index);
  if (choice.calls.size() <= index) choice.calls.resize(index + 1);
  ToolCall& call = choice.calls[index];
  if (!delta.call->id.empty()) call.id = delta.call->id;
  if (!delta.call->name.empty()) call.name = delta.call->name;
  call.arguments += delta.call->arguments;
}

}  // namespace

std::vector<Json> TextForm::first() const { return {}; }

TextSink::TextSink(const Call& call, std::unique_ptr<TextForm> form, bool stream, int64_t choices)
    : call_(call),
      form_(std::move(form)),
      stream_(stream),
      events_(call.answer),
      choices_(static_cast<size_t>(choices)),
      start_(std::chrono::steady_clock::now()) {
  call_.request.body.clear();
  for (size_t i = 0; i < choices_.size(); ++i) choices_[i].end.choice = static_cast<int64_t>(i);
}

void TextSink::send(const Json& event) { events_.data(json_text(event)); }

void TextSink::begin() {
  if (!stream_ || events_.begun()) return;
  events_.begin({{"x-request-id", call_.request.id}});
  for (const Json& event : form_->first()) send(event);
}

void TextSink::started(const Usage&) {
  const std::lock_guard lock(mutex_);
  begin();
}

void TextSink::progress(int64_t read, int64_t cached, int64_t total) {
  const std::lock_guard lock(mutex_);
  if (!stream_) return;
  begin();
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start_;
  send(form_->progress(read, cached, total, seconds.count()));
}

void TextSink::delta(const Delta& delta) {
  const std::lock_guard lock(mutex_);
  ChoiceText& choice = choices_.at(static_cast<size_t>(delta.choice));
  if (!stream_) return append(choice, delta);
  begin();
  if (!delta.reasoning.empty() || !delta.content.empty() || delta.call || !delta.logprobs.empty())
    send(form_->piece(delta));
}

void TextSink::choice_end(const ChoiceEnd& end) {
  const std::lock_guard lock(mutex_);
  ChoiceText& choice = choices_.at(static_cast<size_t>(end.choice));
  choice.end = end;
  last_ended_ = end.choice;
  if (++ended_ == choices_.size() || !stream_) return;  // that of the last one waits for the figures
  begin();
  send(form_->last(choice, nullptr));
}

void TextSink::finished(const Usage& usage) {
  const std::lock_guard lock(mutex_);
  over_ = true;
  // A header has room for one state: that of the only choice.
  if (!stream_)
    return respond_json(call_, json_text(form_->whole(choices_, usage)), 200,
                        choices_.size() == 1 ? choices_[0].end.state : "");
  begin();
  send(form_->last(choices_[static_cast<size_t>(last_ended_)], &usage));
  for (const Json& event : form_->after(usage)) send(event);
  if (form_->ends_with_done()) events_.data("[DONE]");
  events_.end();
}

void TextSink::failed(const TaskError& error) {
  const std::lock_guard lock(mutex_);
  over_ = true;
  if (!events_.begun()) return respond_failure(call_, error);
  events_.data(call_.error({.status = status_of(error), .error = error, .request_id = call_.request.id}));
  events_.end();
}

void TextSink::tick() {
  const std::lock_guard lock(mutex_);
  if (!stream_ || over_) return;
  if (events_.begun()) return events_.tick();
  if (++waiting_ticks_ == 3) begin();
}

}  // namespace aviary
