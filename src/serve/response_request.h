// The body of a request of OpenAI's Responses as a task.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "serve/response_store.h"
#include "serve/router.h"
#include "serve/task.h"

namespace aviary {

struct ResponseRequest {
  ChatTask task = {};
  // The object that answers, with what is known of it before the model writes: all fields that Open Responses
  // demands.
  nlohmann::ordered_json response = {};
  // The past of the conversation and the new items, which make the messages after the instructions.
  StoredItems input = {};
  bool stream = false;
  bool store = true;
  bool background = false;
};

// `id`: of the response that will be made. What it follows (previous_response_id) and items that the input
// only names are looked up in the store, among the responses of the key of the call.
//
// The conversation of a stored response is written into the prompt again from its items, and the cache of
// states finds the longest beginning of it that was read before. So the result is that of the same
// conversation sent whole, and instructions may differ; going on from a state that was kept for the response
// would give the model the tokens as they were sampled, which need not be those of the text.
//
// Tools other than functions are left out, since clients offer tools of the service that they expect.
// Throws TaskFailure.
ResponseRequest read_response_request(const nlohmann::ordered_json& body, const std::string& id,
                                      const Call& call, ResponseStore& store);

}  // namespace aviary
