// What requests of ollama's protocol ask for.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "serve/json_fields.h"
#include "serve/router.h"

namespace aviary {

// A chat, a generated text, or neither: the model is only to be loaded, or unloaded.
struct OllamaRequest {
  enum class Kind : uint8_t { chat, generate, load, unload };
  Kind kind = Kind::chat;
  bool chat_form = true;  // the answer has `message`, not `response`
  bool stream = true;
  std::string model = {};  // as the client spelled it
  ChatTask task = {};
  std::optional<CompletionTask> raw = {};  // instead of `task`
};

// Read the body of /api/chat and /api/generate. Throw TaskFailure.
OllamaRequest read_ollama_chat(const Call& call, const Fields& body);
OllamaRequest read_ollama_generate(const Call& call, const Fields& body);

// The name under which the service has the model: ollama's clients add ":latest". Throws TaskFailure
// (not_found).
std::string ollama_model(const Service& service, const std::string& name);

// `context` of /api/generate: the messages of a conversation as a list of numbers, which clients send back as
// they got it. Reading throws TaskFailure for any other list.
std::vector<int32_t> ollama_context(const std::vector<Message>& messages);
std::vector<Message> read_ollama_context(const nlohmann::ordered_json& list);

}  // namespace aviary
