// The restrictions of texts that requests ask for: formats and calls of tools.
#pragma once

#include <functional>
#include <memory>

#include "chat/chat_template.h"
#include "grammar/grammar_constraint.h"
#include "serve/task.h"

namespace aviary {

// The grammar of a completion; null: free text. Throws Error for what cannot be followed.
Grammar::Ptr completion_grammar(const ResponseFormat& format);

// The grammar of a reply in a conversation, with what the template puts around it: the format, or the calls
// that the tools allow. Calls that are the model's choice are held to the schema if a tool is strict, from
// where one begins.
Grammar::Ptr reply_grammar(const ChatTask& task, const ChatTemplate& form, const ReplyForm& reply);

// Makes the constraint of each of several texts.
using ConstraintMaker = std::function<std::unique_ptr<Constraint>()>;

}  // namespace aviary
