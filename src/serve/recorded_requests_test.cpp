// Requests as programs send them that cannot be installed for a test: they must be accepted as they are.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "support/openai_fixture.h"

namespace aviary {
namespace {

class RecordedRequests : public OpenAi {
 protected:
  RecordedRequests() { add_llama(router); }
  std::shared_ptr<FakeAnswer> accepted(const std::string& path, const std::string& body) {
    const auto answer = ask("POST", path, body);
    EXPECT_EQ(answer->status, 200) << answer->body;
    return answer;
  }
};

TEST_F(RecordedRequests, OpenWebUi) {
  EXPECT_EQ(ask("GET", "/v1/models")->status, 200);
  const auto stream = accepted("/v1/chat/completions", R"({
    "stream": true, "model": "bird", "messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "Hi"}],
    "stream_options": {"include_usage": true}, "function_calling": "native", "custom_params": {}, "keep_alive": null,
    "tool_ids": [], "features": {"web_search": false}, "variables": {"{{USER_NAME}}": "A"}, "session_id": "s",
    "chat_id": "c", "id": "i", "background_tasks": {"title_generation": true}, "reasoning_tags": null})");
  EXPECT_TRUE(stream->streamed);
  EXPECT_EQ(service.chats.back().messages.size(), 2u);
  accepted("/v1/chat/completions", R"({
    "model": "bird", "messages": [{"role": "user", "content": "### Task:\nGenerate a title"}], "stream": false,
    "max_completion_tokens": 1000, "metadata": {"task": "title_generation", "chat_id": "c"}})");
  EXPECT_EQ(options().max_tokens, 1000);
  accepted("/v1/embeddings", R"({"input": ["a", "b"], "model": "bird", "user": "u"})");
}

TEST_F(RecordedRequests, SillyTavernChats) {
  accepted("/v1/chat/completions", R"({
    "messages": [{"role": "system", "content": "Write Ann's next reply."}, {"role": "user", "name": "Bob", "content": "Hi"}],
    "model": "bird", "temperature": 1, "max_tokens": 300, "stream": true, "presence_penalty": 0, "frequency_penalty": 0,
    "top_p": 1, "top_k": 0, "stop": ["\nBob:"], "logit_bias": {}, "n": 1, "user_name": "Bob", "char_name": "Ann",
    "group_names": [], "include_reasoning": true, "reasoning_effort": "medium", "enable_web_search": false,
    "logprobs": null, "json_schema": null, "chat_completion_source": "custom"})");
  EXPECT_EQ(options().stop, std::vector<std::string>{"\nBob:"});
}

TEST_F(RecordedRequests, SillyTavernTexts) {
  EXPECT_EQ(ask("GET", "/props")->status, 200);
  accepted("/tokenize", R"({"content": "Hi"})");
  const auto answer = accepted("/completion", R"({
    "prompt": "Bob: Hi\nAnn:", "model": "bird", "max_new_tokens": 300, "max_tokens": 300, "logprobs": 10,
    "temperature": 1.2, "top_p": 0.9, "typical_p": 1, "typical": 1, "sampler_seed": -1, "seed": -1, "min_p": 0.05,
    "repetition_penalty": 1, "frequency_penalty": 0, "presence_penalty": 0, "top_k": 40, "skew": 0, "min_tokens": 0,
    "add_bos_token": true, "smoothing_factor": 0, "smoothing_curve": 1, "dry_allowed_length": 2, "dry_multiplier": 0,
    "dry_base": 1.75, "dry_sequence_breakers": ["\n", ":"], "dry_penalty_last_n": 0, "max_tokens_second": 0,
    "stopping_strings": ["\nBob:"], "stop": ["\nBob:"], "truncation_length": 8192, "ban_eos_token": false,
    "skip_special_tokens": true, "include_reasoning": true, "top_a": 0, "tfs": 1, "tfs_z": 1, "mirostat_mode": 0,
    "mirostat": 0, "mirostat_tau": 5, "mirostat_eta": 0.1, "custom_token_bans": "", "banned_strings": [],
    "api_type": "llamacpp", "n_predict": 300, "num_predict": 300, "num_ctx": 8192, "ignore_eos": false, "n_probs": 10,
    "repeat_penalty": 1, "repeat_last_n": 0, "dynatemp_range": 0, "dynatemp_exponent": 1, "xtc_threshold": 0.1,
    "xtc_probability": 0, "nsigma": 0, "top_n_sigma": 0, "adaptive_target": -0.01, "adaptive_decay": 0.9,
    "grammar": "", "json_schema": null, "logit_bias": [], "samplers": ["top_k", "temperature"], "cache_prompt": true,
    "stream": true})");
  EXPECT_TRUE(answer->streamed);
  const TaskOptions& asked = service.completions.back().options;
  EXPECT_EQ(asked.max_tokens, 300);
  EXPECT_EQ(asked.top_logprobs, 10);
  EXPECT_EQ(asked.sampling.min_p, 0.05);
}

TEST_F(RecordedRequests, Continue) {
  accepted("/v1/chat/completions", R"({
    "messages": [{"role": "user", "content": [{"type": "text", "text": "Explain"}]},
                 {"role": "assistant", "content": " "}, {"role": "user", "content": "More"}],
    "model": "bird", "max_tokens": 4096, "temperature": 0.1, "stream": true, "stop": null, "top_p": null,
    "stream_options": {"include_usage": true}, "prediction": null, "tools": null, "tool_choice": null})");
  accepted("/v1/completions", R"({
    "model": "bird", "prompt": "def f():\n", "max_tokens": 256, "temperature": 0.01, "stream": true,
    "frequency_penalty": null, "presence_penalty": null, "stop": ["<|endoftext|>", "\n\n"], "suffix": null})");
  EXPECT_EQ(service.completions.back().options.stop.size(), 2u);
}

TEST_F(RecordedRequests, Zed) {
  accepted("/v1/chat/completions", R"({
    "model": "bird", "stream": true, "stream_options": {"include_usage": true}, "temperature": 1.0, "stop": [],
    "max_completion_tokens": 4096, "parallel_tool_calls": false, "prompt_cache_key": "k", "tool_choice": "auto",
    "messages": [{"role": "system", "content": [{"type": "text", "text": "S"}]},
                 {"role": "user", "content": [{"type": "text", "text": "List"}, {"type": "text", "text": " files"}]},
                 {"role": "assistant", "content": null, "tool_calls": [
                   {"id": "c1", "type": "function", "function": {"name": "list", "arguments": "{\"path\":\".\"}"}}]},
                 {"role": "tool", "content": [{"type": "text", "text": "a.txt"}], "tool_call_id": "c1"}],
    "tools": [{"type": "function", "function": {"name": "list", "description": "Lists a folder.",
      "parameters": {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}}}]})");
  const ChatTask& task = service.chats.back();
  EXPECT_EQ(task.messages.at(1).content, "List files");
  EXPECT_EQ(task.messages.at(3).content, "a.txt");
  EXPECT_FALSE(task.parallel_calls);
}

TEST_F(RecordedRequests, LmEval) {
  service.script.deltas = {
      {.content = "abc",
       .logprobs = {{.bytes = "a"},
                    {.bytes = "b", .logprob = -1, .top = {{.bytes = "x", .logprob = -0.5}}},
                    {.bytes = "c", .logprob = -2, .top = {{.bytes = "c", .logprob = -2}}}}}};
  const auto answer = accepted("/v1/completions", R"({
    "model": "bird", "prompt": [[97, 98]], "temperature": 0, "max_tokens": 1, "logprobs": 1, "seed": 1234, "echo": true})");
  const nlohmann::json logprobs = json(*answer)["choices"][0]["logprobs"];
  EXPECT_EQ(logprobs["token_logprobs"].dump(), "[null,-1.0,-2.0]");
  EXPECT_EQ(logprobs["top_logprobs"].dump(), R"([null,{"x":-0.5},{"c":-2.0}])");
  EXPECT_EQ(service.completions.back().prompts, (std::vector<Prompt>{std::vector<int32_t>{97, 98}}));
  accepted("/v1/completions", R"({
    "prompt": ["Q: 1+1\nA:"], "model": "bird", "max_tokens": 256, "temperature": 0, "stop": ["Q:", "</s>"], "seed": 1234})");
  accepted("/v1/chat/completions", R"({
    "messages": [{"role": "user", "content": "Q"}], "model": "bird", "max_tokens": 256, "temperature": 0,
    "stop": ["Q:"], "seed": 1234})");
  EXPECT_EQ(options().sampling.temperature, 0);
}

}  // namespace
}  // namespace aviary
