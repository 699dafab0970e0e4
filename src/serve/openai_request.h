// Reads the fields that requests of OpenAI's clients and of llama.cpp's have in common.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "serve/json_fields.h"
#include "serve/router.h"
#include "serve/task.h"

namespace aviary {

// What a request says besides what it wants to have written.
struct RequestBasics {
  ModelInfo model = {};
  TaskOptions options =
      {};  // sampling, stop strings, format, state, ...; without the number of log-probabilities
  bool stream = false;
  bool include_usage = false;  // in the stream
};

// Reads them over the defaults of the model that the request names. A sampler that is asked for and does not
// exist here is refused, unless the request gives the value at which it does nothing.
RequestBasics read_basics(const Call& call, const Fields& fields);

// max_tokens under one of these names, the first that is given; -1 is no limit.
void read_max_tokens(const Call& call, const Fields& fields, const std::vector<std::string_view>& names,
                     TaskOptions& options);

// How much to think: "none", "low", "medium", ... under this name; absent: as usual.
Thinking read_effort(const Fields& fields, std::string_view name);

// The messages of a chat; lists of parts are joined.
std::vector<Message> read_messages(const Fields& fields);

// A whole chat: messages, tools, thinking, format, and the log-probabilities. Clears nothing of `basics`.
ChatTask read_chat(const Call& call, const Fields& fields, RequestBasics& basics);

}  // namespace aviary
