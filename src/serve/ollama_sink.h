// Writes what a task reports as the lines of ollama's protocol.
#pragma once

#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "serve/ollama_requests.h"
#include "serve/router.h"

namespace aviary {

// The time now, "2026-11-29T12:00:00.000000000Z"; and any other.
std::string ollama_time_now();
std::string ollama_time(double seconds_since_1970);
// {"error":"..."}
std::string ollama_error(const Failure& failure);
// One JSON object as the whole answer of a stream, or not.
void answer_ollama(const Call& call, const nlohmann::ordered_json& object, bool stream);

class OllamaSink : public TaskSink {
 public:
  OllamaSink(Call call, OllamaRequest request);

  void started(const Usage& usage) override;
  void progress(int64_t, int64_t, int64_t) override {}
  void delta(const Delta& delta) override;
  void choice_end(const ChoiceEnd& end) override;
  void finished(const Usage& usage) override;
  void failed(const TaskError& error) override;
  bool abandoned() const override { return call_.answer->closed(); }
  bool busy() const override { return call_.answer->lagging(); }

 private:
  struct Part {
    std::string content = {}, thinking = {};
    std::vector<ToolCall> calls = {};
    std::vector<TokenLogprob> logprobs = {};
  };
  nlohmann::ordered_json line_of(const Part& part) const;
  void write(const nlohmann::ordered_json& line);
  void show(Part part);
  // Tools are called as a whole: the arguments are an object.
  void show_call();

  const Call call_;
  const OllamaRequest request_;
  Part whole_;  // of the reply
  std::optional<ToolCall> open_call_;
  int64_t open_index_ = -1;
  bool begun_ = false;
  std::string reason_ = "stop";
  nlohmann::ordered_json extra_;  // the state that was kept, if one was
  std::string state_;             // its id
};

}  // namespace aviary
