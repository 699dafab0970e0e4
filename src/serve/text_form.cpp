#include "serve/text_form.h"

#include <algorithm>
#include <limits>
#include <string>
#include <vector>

#include "base/error.h"
#include "chat/tools.h"

namespace aviary {
namespace {

constexpr std::string_view thought_end = "</think>";

// What the model writes before the grammar begins: the rest of a marker of the template, or the space before
// a reply; or a whole thought.
Grammar::Ptr after_opening(const Grammar::Ptr& grammar, const ChatTemplate& form, const ReplyForm& reply) {
  if (reply.thought_open) {
    const std::vector<std::string> triggers{std::string(thought_end)};
    return Grammar::after_triggers(Grammar::enclosed("\n", grammar, ""), triggers, false);
  }
  const std::string opening =
      reply.marker_rest.empty() ? std::string(form.reply_space) : reply.marker_rest + "\n";
  return opening.empty() ? grammar : Grammar::enclosed(opening, grammar, "");
}

Grammar::Ptr call_grammar(const std::vector<Tool>& tools, const ToolChoice& choice) {
  const bool named = choice.kind == ToolChoice::Kind::named;
  return Grammar::from_json_schema_text(tool_call_schema(tools, named ? choice.name : ""));
}

// A call that must come follows the schemas also where they are not strict, unless one cannot be followed.
Grammar::Ptr required_call_grammar(const ChatTask& task) {
  std::vector<Tool> strict = task.tools;
  for (Tool& tool : strict) tool.strict = true;
  try {
    return call_grammar(strict, task.tool_choice);
  } catch (const Error&) {
    return call_grammar(task.tools, task.tool_choice);
  }
}

}  // namespace

ThoughtLimit::ThoughtLimit(std::unique_ptr<Constraint> inner, const Tokenizer& tokenizer, int64_t limit,
                           std::string_view end)
    : inner_(std::move(inner)), tokenizer_(tokenizer), limit_(limit), end_(tokenizer.encode(end)) {
  if (limit_ <= 0) closing_ = true;
}

void ThoughtLimit::allow(std::span<float> logits) {
  if (closes()) {
    const auto token = static_cast<size_t>(end_[next_]);
    for (size_t i = 0; i < logits.size(); ++i)
      if (i != token) logits[i] = -std::numeric_limits<float>::infinity();
  } else if (inner_) {
    inner_->allow(logits);
  }
}

void ThoughtLimit::accept(int32_t token) {
  if (inner_) inner_->accept(token);
  if (closes()) ++next_;
  if (closing_ || closed_) return;
  text_ += tokenizer_.bytes_of(token);
  closed_ = text_.find(thought_end) != std::string::npos;
  closing_ = !closed_ && ++tokens_ >= limit_;
}

std::span<const int32_t> ThoughtLimit::forced() {
  if (closes()) return std::span(end_).subspan(next_);
  return inner_ ? inner_->forced() : std::span<const int32_t>();
}

Grammar::Ptr completion_grammar(const ResponseFormat& format) {
  using Kind = ResponseFormat::Kind;
  switch (format.kind) {
    case Kind::text:
      return nullptr;
    case Kind::json_object:
      return Grammar::any_json_object();
    case Kind::json_schema:
      return Grammar::from_json_schema_text(format.source);
    case Kind::regex:
      return Grammar::from_regex(format.source);
    case Kind::gbnf:
      return Grammar::from_gbnf(format.source);
  }
  return nullptr;
}

Grammar::Ptr reply_grammar(const ChatTask& task, const ChatTemplate& form, const ReplyForm& reply) {
  using Choice = ToolChoice::Kind;
  const Choice choice = task.tools.empty() ? Choice::none : task.tool_choice.kind;
  if (choice == Choice::required || choice == Choice::named)
    return after_opening(Grammar::enclosed(tool_call_trigger(), required_call_grammar(task), tool_call_end()),
                         form, reply);
  if (const Grammar::Ptr format = completion_grammar(task.options.format))
    return after_opening(format, form, reply);
  const bool strict =
      std::any_of(task.tools.begin(), task.tools.end(), [](const Tool& tool) { return tool.strict; });
  if (choice != Choice::automatic || !strict) return nullptr;
  const std::vector<std::string> triggers{std::string(tool_call_trigger())};
  return Grammar::after_triggers(
      Grammar::enclosed("", call_grammar(task.tools, task.tool_choice), tool_call_end()), triggers,
      task.parallel_calls);
}

}  // namespace aviary
