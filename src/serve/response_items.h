// The items of a conversation in OpenAI's Responses: messages, thoughts, calls of functions and their
// outputs.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "chat/message.h"
#include "serve/json_fields.h"

namespace aviary {

// An item of a request in the form in which it is stored and listed: with id and status, its text in parts.
// `id` is for an item without one. Throws TaskFailure for what cannot be given to a model of text.
nlohmann::ordered_json read_item(const Fields& item, const std::string& id);

// Appends a stored item to the messages. A thought, a message and calls that follow each other are one turn
// of the assistant, as the model wrote them.
void add_item(const nlohmann::ordered_json& item, std::vector<Message>& messages);

}  // namespace aviary
