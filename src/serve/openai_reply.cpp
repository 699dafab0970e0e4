#include "serve/openai_reply.h"

#include <fmt/format.h>

#include <cmath>
#include <utility>

#include "serve/protocols.h"

namespace aviary {
namespace {

using Json = nlohmann::ordered_json;

Json per_second(int64_t tokens, double seconds) {
  return seconds > 0 ? Json(static_cast<double>(tokens) / seconds) : Json(0.0);
}

Json per_token_ms(int64_t tokens, double seconds) {
  return tokens > 0 ? Json(1000 * seconds / static_cast<double>(tokens)) : Json(0.0);
}

Json openai_token(const std::string& bytes, double logprob) {
  return {{"token", bytes}, {"logprob", finite_logprob(logprob)}, {"bytes", bytes_json(bytes)}};
}

}  // namespace

ReplyHead::ReplyHead(std::string_view prefix, const Call& call, const RequestBasics& basics)
    : id(new_id(prefix)),
      created(now_seconds()),
      model(basics.model.name),
      fingerprint(basics.model.digest.empty()
                      ? ""
                      : fmt::format("fp_{}_{}", basics.model.digest, call.router.options().version)),
      include_usage(basics.include_usage) {}

Json ReplyHead::object(std::string_view type, Json choices) const {
  return {{"id", id},
          {"object", type},
          {"created", created},
          {"model", model},
          {"system_fingerprint", fingerprint.empty() ? Json() : Json(fingerprint)},
          {"choices", std::move(choices)}};
}

void add_no_usage(const ReplyHead& head, Json& chunk) {
  if (head.include_usage) chunk["usage"] = nullptr;
}

Json usage_json(const Usage& usage) {
  return {{"prompt_tokens", usage.prompt_tokens},
          {"completion_tokens", usage.tokens},
          {"total_tokens", usage.total()},
          {"prompt_tokens_details", {{"cached_tokens", usage.cached_tokens}}},
          {"completion_tokens_details", {{"reasoning_tokens", usage.reasoning_tokens}}}};
}

Json timings_json(const Usage& usage) {
  const int64_t read = usage.prompt_tokens - usage.cached_tokens;
  return {{"cache_n", usage.cached_tokens},
          {"prompt_n", read},
          {"prompt_ms", 1000 * usage.prompt_seconds},
          {"prompt_per_token_ms", per_token_ms(read, usage.prompt_seconds)},
          {"prompt_per_second", per_second(read, usage.prompt_seconds)},
          {"predicted_n", usage.tokens},
          {"predicted_ms", 1000 * usage.seconds},
          {"predicted_per_token_ms", per_token_ms(usage.tokens, usage.seconds)},
          {"predicted_per_second", per_second(usage.tokens, usage.seconds)}};
}

Json progress_json(int64_t read, int64_t cached, int64_t total, double seconds) {
  return {{"total", total},
          {"cache", cached},
          {"processed", read},
          {"time_ms", static_cast<int64_t>(1000 * seconds)}};
}

double finite_logprob(double logprob) { return std::isfinite(logprob) ? logprob : -9999.0; }

Json bytes_json(std::string_view bytes) {
  Json list = Json::array();
  for (char c : bytes) list.push_back(static_cast<unsigned char>(c));
  return list;
}

Json logprob_list(const std::vector<TokenLogprob>& logprobs) {
  Json list = Json::array();
  for (const TokenLogprob& token : logprobs) {
    Json entry = openai_token(token.bytes, token.logprob);
    entry["top_logprobs"] = Json::array();
    for (const auto& other : token.top)
      entry["top_logprobs"].push_back(openai_token(other.bytes, other.logprob));
    list.push_back(std::move(entry));
  }
  return list;
}

std::string_view reason_text(FinishReason reason) {
  switch (reason) {
    case FinishReason::stop:
      return "stop";
    case FinishReason::tool_calls:
      return "tool_calls";
    default:
      return "length";
  }
}

std::string base64(std::string_view bytes) {
  constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t group = 0;
    for (size_t k = 0; k < 3; ++k)
      group = group << 8 | (i + k < bytes.size() ? static_cast<unsigned char>(bytes[i + k]) : 0u);
    for (size_t k = 0; k < 4; ++k) text += i + k > bytes.size() ? '=' : digits[group >> (18 - 6 * k) & 63];
  }
  return text;
}

void add_state(const ChoiceEnd& end, Json& choice) {
  if (end.state.empty()) return;
  choice["state"] = {{"id", end.state}, {"tokens", end.tokens}};
  if (!end.state_file.empty()) choice["state"]["data"] = base64(end.state_file);
}

void add_with_and_without_v1(Router& router, const char* method, std::string path,
                             std::function<void(Call&)> handle, bool open) {
  router.add({.method = method, .path = path.substr(3), .handle = handle, .open = open});
  router.add({.method = method, .path = std::move(path), .handle = std::move(handle), .open = open});
}

void add_openai(Router& router) {
  add_openai_chat(router);
  add_openai_completions(router);
  add_openai_lists(router);
}

}  // namespace aviary
