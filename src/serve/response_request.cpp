#include "serve/response_request.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "base/json.h"
#include "base/quotes.h"
#include "serve/json_fields.h"
#include "serve/openai_request.h"
#include "serve/response_items.h"
#include "serve/response_reply.h"

namespace aviary {

using Json = nlohmann::ordered_json;

namespace {

constexpr int64_t no_bound = std::numeric_limits<int64_t>::max();

Json text_or_null(const std::optional<std::string>& text) { return text ? Json(*text) : Json(); }
Json number_or_null(const std::optional<int64_t>& number) { return number ? Json(*number) : Json(); }

// Reads the input and collects its items.
class Input {
 public:
  Input(const std::string& id, const std::string& key, ResponseStore& store)
      : id_(id), key_(key), store_(store) {}

  void follow(const std::string& previous) {
    const std::shared_ptr<const StoredResponse> response = store_.find(key_, previous);
    if (response == nullptr)
      throw TaskFailure(
          {.kind = TaskError::Kind::not_found,
           .message = fmt::format("there is no response {}; it may have been forgotten, so send "
                                  "the whole conversation",
                                  in_quotes(previous)),
           .param = "previous_response_id",
           .code = "previous_response_not_found"});
    if (response->task) refuse_field("previous_response_id", "this response is still being written");
    items = response->input;
    items.insert(items.end(), response->output.begin(), response->output.end());
  }

  void read(const Fields& body) {
    const Json* input = body.find("input");
    if (input == nullptr) return;
    if (input->is_string()) {
      const Json message = {{"role", "user"}, {"content", *input}};
      return add(Fields(message, "input"));
    }
    if (!input->is_array()) body.refuse("input", "a text or a list of items");
    for (const Fields& item : body.objects("input")) {
      const std::optional<std::string> type = item.text("type");
      if (type == "item_reference" || (!type && !item.has("role") && item.has("id")))
        refer(item);
      else
        add(item);
    }
  }

  StoredItems items;

 private:
  void add(const Fields& item) {
    Json read = read_item(item, item_id(id_, "msg", fmt::format("i{}", items.size())));
    items.push_back(store_.item(read["id"].get<std::string>(), json_text(read)));
  }

  void refer(const Fields& reference) {
    const std::string id = reference.required_text("id");
    if (const auto response = store_.find(key_, response_of_item(id)))
      for (const StoredItems* part : {&response->output, &response->input})
        for (const auto& item : *part)
          if (item->id == id) return items.push_back(item);
    throw TaskFailure(
        {.kind = TaskError::Kind::not_found,
         .message = fmt::format("{}: there is no item {}; it may have been forgotten, so send it",
                                reference.path(), in_quotes(id)),
         .param = reference.path()});
  }

  const std::string& id_;
  const std::string& key_;
  ResponseStore& store_;
};

// Returns the functions as the response tells them.
Json read_response_tools(const Fields& body, ChatTask& task) {
  Json told = Json::array();
  for (const Fields& tool : body.objects("tools")) {
    if (tool.required_text("type") != "function") continue;
    Tool read = {.name = tool.required_text("name"), .description = tool.text("description").value_or("")};
    const std::optional<Fields> parameters = tool.object("parameters");
    if (parameters) read.parameters = json_text(parameters->json());
    read.strict = tool.flag("strict").value_or(false);
    told.push_back({{"type", "function"},
                    {"name", read.name},
                    {"description", text_or_null(tool.text("description"))},
                    {"parameters", parameters ? parameters->json() : Json()},
                    {"strict", read.strict}});
    task.tools.push_back(std::move(read));
  }
  return told;
}

bool offers(const ChatTask& task, const std::string& name) {
  return std::any_of(task.tools.begin(), task.tools.end(),
                     [&](const Tool& tool) { return tool.name == name; });
}

std::string function_name(const Fields& choice, const ChatTask& task) {
  choice.at("type", "a text");
  choice.word("type", {"function"});
  const std::string name = choice.required_text("name");
  if (!offers(task, name))
    refuse_field(choice.path_of("name"),
                 fmt::format("expected the name of one of the tools, got {}", in_quotes(name)));
  return name;
}

ToolChoice::Kind tool_choice_kind(const Fields& owner, std::string_view name) {
  const std::string word = owner.word(name, {"none", "auto", "required"}).value_or("auto");
  if (word == "none") return ToolChoice::Kind::none;
  return word == "auto" ? ToolChoice::Kind::automatic : ToolChoice::Kind::required;
}

// Of several allowed tools the others are taken away.
Json read_allowed_tools(const Fields& choice, ChatTask& task) {
  Json allowed = Json::array();
  std::vector<Tool> kept;
  for (const Fields& tool : choice.objects("tools")) {
    const std::string name = function_name(tool, task);
    allowed.push_back({{"type", "function"}, {"name", name}});
    for (const Tool& offered : task.tools)
      if (offered.name == name) kept.push_back(offered);
  }
  task.tools = std::move(kept);
  task.tool_choice.kind = tool_choice_kind(choice, "mode");
  return {{"type", "allowed_tools"}, {"tools", allowed}, {"mode", choice.text("mode").value_or("auto")}};
}

// Returns the choice as the response tells it.
Json read_response_tool_choice(const Fields& body, ChatTask& task) {
  const Json* choice = body.find("tool_choice");
  if (choice == nullptr) return "auto";
  if (choice->is_string()) {
    task.tool_choice.kind = tool_choice_kind(body, "tool_choice");
    if (task.tool_choice.kind == ToolChoice::Kind::required && task.tools.empty())
      refuse_field("tool_choice", "a tool must be called, but there are no functions among the tools");
    return *choice;
  }
  const Fields object(*choice, "tool_choice");
  if (object.text("type") == "allowed_tools") return read_allowed_tools(object, task);
  task.tool_choice = {.kind = ToolChoice::Kind::named, .name = function_name(object, task)};
  return {{"type", "function"}, {"name", task.tool_choice.name}};
}

// Returns the format as the response tells it.
Json read_text_format(const Fields& text, ResponseFormat& format) {
  const std::optional<Fields> object = text.object("format");
  if (!object) return {{"type", "text"}};
  object->at("type", "a text");
  const std::string type = object->word("type", {"text", "json_object", "json_schema"}).value_or("");
  if (type == "text") return {{"type", "text"}};
  if (type == "json_object") {
    format.kind = ResponseFormat::Kind::json_object;
    return {{"type", type}};
  }
  const std::optional<Fields> schema = object->object("schema");
  if (!schema) object->at("schema", "a JSON Schema");
  format = {.kind = ResponseFormat::Kind::json_schema, .source = json_text(schema->json())};
  return {{"type", type},
          {"name", object->text("name").value_or("response")},
          {"description", text_or_null(object->text("description"))},
          {"schema", schema->json()},
          {"strict", object->flag("strict").value_or(false)}};
}

Json read_text(const Fields& body, TaskOptions& options) {
  const std::optional<Fields> text = body.object("text");
  if (!text) return {{"format", {{"type", "text"}}}};
  Json told = {{"format", read_text_format(*text, options.format)}};
  if (const auto verbosity = text->word("verbosity", {"low", "medium", "high"}))
    told["verbosity"] = *verbosity;
  return told;
}

Json read_response_reasoning(const Fields& body, ChatTask& task) {
  const std::optional<Fields> reasoning = body.object("reasoning");
  if (!reasoning) return nullptr;
  task.thinking = read_effort(*reasoning, "effort");
  return {{"effort", text_or_null(reasoning->text("effort"))},
          {"summary", text_or_null(reasoning->word("summary", {"auto", "concise", "detailed"}))}};
}

void read_response_logprobs(const Fields& body, TaskOptions& options) {
  options.top_logprobs = body.integer("top_logprobs", 0, 20).value_or(0);
  options.logprobs = options.top_logprobs > 0;
  for (const std::string& what : body.texts("include"))
    options.logprobs |= what == "message.output_text.logprobs";
}

// What would change the conversation if it were ignored.
void refuse_unknown_fields(const Fields& body) {
  if (body.has("conversation"))
    refuse_field("conversation", "there are no conversations here; use previous_response_id");
  if (body.has("prompt")) refuse_field("prompt", "there are no prompt templates here; use instructions");
}

// Follows what is stored, then the instructions and all items become the messages.
void read_messages(const Fields& body, Input input, ResponseRequest& request) {
  const std::optional<std::string> previous = body.text("previous_response_id");
  if (previous) input.follow(*previous);
  input.read(body);
  if (input.items.empty()) body.refuse("input", "a text or a list of items");
  const std::string instructions = body.text("instructions").value_or("");
  std::vector<Message>& messages = request.task.messages;
  if (!instructions.empty()) messages.push_back({.role = Role::system, .content = instructions});
  for (const auto& item : input.items) add_item(parse_ordered_json(item->json, "a stored item"), messages);
  request.input = std::move(input.items);
}

// What a response repeats of its request.
Json told_of(const Fields& body, const TaskOptions& options) {
  const std::optional<Fields> metadata = body.object("metadata");
  const SamplerOptions& sampling = options.sampling;
  return {{"instructions", text_or_null(body.text("instructions"))},
          {"max_output_tokens", number_or_null(options.max_tokens)},
          {"max_tool_calls", number_or_null(body.integer("max_tool_calls", 1, no_bound))},
          {"metadata", metadata ? metadata->json() : Json::object()},
          {"previous_response_id", text_or_null(body.text("previous_response_id"))},
          {"prompt_cache_key", text_or_null(body.text("prompt_cache_key"))},
          {"safety_identifier", text_or_null(body.text("safety_identifier"))},
          {"service_tier", "default"},
          {"temperature", sampling.temperature},
          {"top_p", sampling.top_p},
          {"presence_penalty", sampling.presence_penalty},
          {"frequency_penalty", sampling.frequency_penalty},
          {"top_logprobs", options.top_logprobs},
          {"truncation", body.word("truncation", {"auto", "disabled"}).value_or("disabled")},
          {"user", text_or_null(body.text("user"))}};
}

}  // namespace

ResponseRequest read_response_request(const Json& json, const std::string& id, const Call& call,
                                      ResponseStore& store) {
  const Fields body(json);
  refuse_unknown_fields(body);
  ResponseRequest request;
  ChatTask& task = request.task;
  RequestBasics basics = read_basics(call, body);
  task.model = basics.model.name;
  task.options = std::move(basics.options);
  body.integer("max_output_tokens", 1, no_bound);  // others may ask for none
  read_max_tokens(call, body, {"max_output_tokens"}, task.options);
  read_response_logprobs(body, task.options);
  read_messages(body, Input(id, call.request.key, store), request);
  request.stream = basics.stream;
  request.store = body.flag("store").value_or(true);
  request.background = body.flag("background").value_or(false);
  if (request.background && !request.store)
    refuse_field("background", "a response that is made in the background must be stored");
  request.response = {{"id", id},
                      {"object", "response"},
                      {"created_at", now_seconds()},
                      {"status", "in_progress"},
                      {"completed_at", nullptr},
                      {"error", nullptr},
                      {"incomplete_details", nullptr},
                      {"model", task.model},
                      {"output", Json::array()},
                      {"usage", nullptr},
                      {"background", request.background},
                      {"store", request.store}};
  request.response["tools"] = read_response_tools(body, task);
  request.response["tool_choice"] = read_response_tool_choice(body, task);
  task.parallel_calls = body.flag("parallel_tool_calls").value_or(true);
  request.response["parallel_tool_calls"] = task.parallel_calls;
  request.response["reasoning"] = read_response_reasoning(body, task);
  request.response["text"] = read_text(body, task.options);
  request.response.update(told_of(body, task.options));
  return request;
}

}  // namespace aviary
