// What answers to OpenAI's clients have in common.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "serve/openai_request.h"
#include "serve/text_sink.h"

namespace aviary {

// Identity and time of one answer, the same in all its chunks.
struct ReplyHead {
  ReplyHead(std::string_view prefix, const Call& call, const RequestBasics& basics);

  std::string id;
  int64_t created;
  std::string model;
  std::string fingerprint;  // of the model's weights and the program; empty while the model was never loaded
  bool include_usage;

  // {"id","object","created","model","system_fingerprint","choices"}
  nlohmann::ordered_json object(std::string_view type, nlohmann::ordered_json choices) const;
};

// Adds usage, where the stream was asked for it, as null.
void add_no_usage(const ReplyHead& head, nlohmann::ordered_json& chunk);

nlohmann::ordered_json usage_json(const Usage& usage);
// llama.cpp's figures of speed.
nlohmann::ordered_json timings_json(const Usage& usage);
// {"total","cache","processed","time_ms"}
nlohmann::ordered_json progress_json(int64_t read, int64_t cached, int64_t total, double seconds);
// JSON has no infinity: -9999 stands for it, as in OpenAI's answers.
double finite_logprob(double logprob);
nlohmann::ordered_json bytes_json(std::string_view bytes);
// The tokens with their log-probabilities, and of each the most probable alternatives.
nlohmann::ordered_json logprob_list(const std::vector<TokenLogprob>& logprobs);
// "stop", "length" or "tool_calls"; a text that was canceled is "length", since it is not complete.
std::string_view reason_text(FinishReason reason);
std::string base64(std::string_view bytes);
// Adds {"state": {"id", "tokens"}} if a state was kept, and "data", its file in base64, if that was asked
// for.
void add_state(const ChoiceEnd& end, nlohmann::ordered_json& choice);

// Parts of add_openai().
void add_openai_chat(Router& router);
void add_openai_completions(Router& router);
void add_openai_lists(Router& router);
// Adds the route, and the same without "/v1".
void add_with_and_without_v1(Router& router, const char* method, std::string path,
                             std::function<void(Call&)> handle, bool open = false);

}  // namespace aviary
