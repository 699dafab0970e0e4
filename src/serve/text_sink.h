// What chats and completions of all forms have in common: the text is collected and answered as a whole, or
// streamed as events.
#pragma once

#include <chrono>
#include <memory>
#include <mutex>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "serve/router.h"
#include "serve/sse.h"
#include "serve/task.h"

namespace aviary {

// One choice as far as it was reported.
struct ChoiceText {
  std::string reasoning = {}, content = {};
  std::vector<ToolCall> calls = {};
  std::vector<TokenLogprob> logprobs = {};
  ChoiceEnd end = {};
};

// What a protocol writes. The functions of a stream give the JSON of its next event.
class TextForm {
 public:
  virtual ~TextForm() = default;
  // The answer in one piece.
  virtual nlohmann::ordered_json whole(const std::vector<ChoiceText>& choices, const Usage& usage) const = 0;

  // The events before the first token.
  virtual std::vector<nlohmann::ordered_json> first() const;
  virtual nlohmann::ordered_json piece(const Delta& delta) const = 0;
  // The end of a choice; of the last one with the figures of all.
  virtual nlohmann::ordered_json last(const ChoiceText& choice, const Usage* usage) const = 0;
  // The events after the last choice.
  virtual std::vector<nlohmann::ordered_json> after(const Usage& usage) const = 0;
  // While the prompt is read.
  virtual nlohmann::ordered_json progress(int64_t read, int64_t cached, int64_t total,
                                          double seconds) const = 0;
  // Whether the stream ends with "data: [DONE]".
  virtual bool ends_with_done() const { return true; }
};

// Writes what a task reports in a form. A stream begins when the prompt is about to be read, so that requests
// which are refused get a status of their own, or after ten to fifteen seconds of waiting.
class TextSink : public TaskSink, public Ticking {
 public:
  // choices: how many the task will report.
  TextSink(const Call& call, std::unique_ptr<TextForm> form, bool stream, int64_t choices);

  void started(const Usage& usage) override;
  void progress(int64_t read, int64_t cached, int64_t total) override;
  void delta(const Delta& delta) override;
  void choice_end(const ChoiceEnd& end) override;
  void finished(const Usage& usage) override;
  void failed(const TaskError& error) override;
  bool abandoned() const override { return call_.answer->closed(); }
  bool busy() const override { return stream_ && call_.answer->lagging(); }
  void tick() override;

 private:
  void begin();
  void send(const nlohmann::ordered_json& event);

  Call call_;
  std::unique_ptr<TextForm> form_;
  const bool stream_;
  std::mutex mutex_;
  EventStream events_;
  std::vector<ChoiceText> choices_;
  size_t ended_ = 0;
  int64_t last_ended_ = 0;
  bool over_ = false;
  int waiting_ticks_ = 0;
  std::chrono::steady_clock::time_point start_;
};

}  // namespace aviary
