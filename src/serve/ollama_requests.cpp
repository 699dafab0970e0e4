#include "serve/ollama_requests.h"

#include <fmt/format.h>

#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.h"
#include "base/json.h"
#include "chat/chat_template.h"
#include "serve/task_fields.h"

namespace aviary {
namespace {

using Json = nlohmann::ordered_json;

constexpr int64_t most = std::numeric_limits<int64_t>::max();
constexpr int32_t context_mark = 0x617669;  // the first number of a context

void read_options(const Call& call, const Fields& body, TaskOptions& task) {
  if (const std::optional<Fields> options = body.object("options")) {
    read_sampler(*options, task.sampling);
    // -1: until the text ends, -2: until the context is full.
    if (const auto limit = options->integer("num_predict", -2, most); limit && *limit >= 0)
      task.max_tokens = *limit;
    for (std::string& stop : options->texts("stop")) task.stop.push_back(std::move(stop));
  }
  read_state(call, body, task);
  task.logprobs = body.flag("logprobs").value_or(false);
  task.top_logprobs = body.integer("top_logprobs", 0, 20).value_or(0);
  const Json* format = body.find("format");
  if (format == nullptr || (format->is_string() && format->get<std::string>().empty())) return;
  if (format->is_object())
    task.format = {ResponseFormat::Kind::json_schema, json_text(*format)};
  else if (*format == "json")
    task.format = {ResponseFormat::Kind::json_object, {}};
  else
    body.refuse("format", "\"json\" or a JSON Schema");
}

Thinking read_think(const Fields& body) {
  const Json* think = body.find("think");
  if (think == nullptr) return Thinking::usual;
  if (think->is_boolean()) return think->get<bool>() ? Thinking::usual : Thinking::none;
  const std::optional<Thinking> named =
      think->is_string() ? thinking_named(think->get<std::string>()) : std::nullopt;
  if (!named) body.refuse("think", "true, false, \"low\", \"medium\" or \"high\"");
  return *named;
}

void refuse_images(const Fields& fields) {
  const Json* images = fields.find("images");
  if (images == nullptr || (images->is_array() && images->empty())) return;
  refuse_field(fields.path_of("images"), "the models of this server do not see images");
}

ToolCall read_ollama_call(const Fields& call) {
  const Fields function = call.object("function").value_or(call);
  const Json* arguments = function.find("arguments");
  return {.id = call.text("id").value_or(""),
          .name = function.required_text("name"),
          .arguments = arguments == nullptr     ? "{}"
                       : arguments->is_string() ? arguments->get<std::string>()
                                                : json_text(*arguments)};
}

Message read_ollama_message(const Fields& fields) {
  refuse_images(fields);
  const std::string role = *fields.word("role", {"system", "user", "assistant", "tool"});
  Message message{.role = role == "system" ? Role::system
                          : role == "user" ? Role::user
                          : role == "tool" ? Role::tool
                                           : Role::assistant,
                  .content = fields.text("content").value_or(""),
                  .reasoning = fields.text("thinking").value_or("")};
  for (const Fields& call : fields.objects("tool_calls")) message.calls.push_back(read_ollama_call(call));
  message.call_id = fields.text("tool_call_id").value_or("");
  if (message.role == Role::tool) message.name = fields.text("tool_name").value_or("");
  return message;
}

// Tools of another type than function are for other servers.
std::vector<Tool> read_ollama_tools(const Fields& body) {
  std::vector<Tool> tools;
  for (const Fields& fields : body.objects("tools")) {
    if (fields.text("type").value_or("function") != "function") continue;
    const Fields function(fields.at("function", "an object"), fields.path_of("function"));
    const Json* parameters = function.find("parameters");
    tools.push_back({.name = function.required_text("name"),
                     .description = function.text("description").value_or(""),
                     .parameters = parameters == nullptr ? "" : json_text(*parameters)});
  }
  return tools;
}

// keep_alive is a number of seconds or a text such as "5m"; only 0 has a meaning here.
bool is_unloading(const Fields& body) {
  const Json* keep = body.find("keep_alive");
  return keep != nullptr && (*keep == 0 || *keep == "0" || *keep == "0s");
}

OllamaRequest read_common(const Call& call, const Fields& body) {
  OllamaRequest request;
  request.model = body.required_text("model");
  request.stream = body.flag("stream").value_or(true);
  request.task.model = ollama_model(call.service, request.model);
  request.task.options = call.service.default_options(request.task.model);
  request.task.options.key = call.request.key;
  request.task.thinking = read_think(body);
  read_options(call, body, request.task.options);
  return request;
}

void refuse_text(const Fields& body, std::string_view name, std::string_view why) {
  if (!body.text(name).value_or("").empty()) refuse_field(body.path_of(name), why);
}

}  // namespace

std::string ollama_model(const Service& service, const std::string& name) {
  constexpr std::string_view latest = ":latest";
  try {
    return service.model(name).name;
  } catch (const TaskFailure&) {
    if (!name.ends_with(latest)) throw;
    return service.model(name.substr(0, name.size() - latest.size())).name;
  }
}

OllamaRequest read_ollama_chat(const Call& call, const Fields& body) {
  OllamaRequest request = read_common(call, body);
  for (const Fields& message : body.objects("messages")) {
    message.at("role", "\"system\", \"user\", \"assistant\" or \"tool\"");
    request.task.messages.push_back(read_ollama_message(message));
  }
  request.task.tools = read_ollama_tools(body);
  if (request.task.messages.empty())
    request.kind = is_unloading(body) ? OllamaRequest::Kind::unload : OllamaRequest::Kind::load;
  return request;
}

OllamaRequest read_ollama_generate(const Call& call, const Fields& body) {
  OllamaRequest request = read_common(call, body);
  request.kind = OllamaRequest::Kind::generate;
  request.chat_form = false;
  refuse_images(body);
  refuse_text(body, "suffix", "this server does not fill a text in before a suffix");
  refuse_text(body, "template",
              "the template belongs to the model; send a finished prompt with \"raw\": true");
  const std::string prompt = body.text("prompt").value_or("");
  if (prompt.empty()) {
    request.kind = is_unloading(body) ? OllamaRequest::Kind::unload : OllamaRequest::Kind::load;
    return request;
  }
  if (body.flag("raw").value_or(false)) {
    if (body.has("context")) refuse_field("context", "has no meaning beside \"raw\"");
    request.raw = CompletionTask{
        .model = request.task.model, .prompts = {prompt}, .options = std::move(request.task.options)};
    return request;
  }
  std::vector<Message>& messages = request.task.messages;
  if (const Json* context = body.find("context")) messages = read_ollama_context(*context);
  if (const std::string system = body.text("system").value_or(""); !system.empty() && messages.empty())
    messages.push_back({.role = Role::system, .content = system});
  messages.push_back({.role = Role::user, .content = prompt});
  return request;
}

// The mark, the number of bytes, and three bytes a number: [[role, content, reasoning], ...] as JSON.
std::vector<int32_t> ollama_context(const std::vector<Message>& messages) {
  Json list = Json::array();
  for (const Message& message : messages)
    list.push_back(Json::array({static_cast<int>(message.role), message.content, message.reasoning}));
  const std::string text = json_text(list);
  std::vector<int32_t> context = {context_mark, static_cast<int32_t>(text.size())};
  for (size_t i = 0; i < text.size(); i += 3) {
    int32_t number = 0;
    for (size_t k = i; k < i + 3; ++k)
      number = number << 8 | (k < text.size() ? static_cast<unsigned char>(text[k]) : 0);
    context.push_back(number);
  }
  return context;
}

std::vector<Message> read_ollama_context(const Json& list) {
  constexpr std::string_view foreign = "is not a context that this server gave; leave it out to begin anew";
  const std::vector<int32_t> numbers = tokens_of(list, "context");
  if (numbers.empty()) return {};
  if (numbers.size() < 2 || numbers[0] != context_mark) refuse_field("context", foreign);
  std::string text;
  for (size_t i = 2; i < numbers.size(); ++i)
    for (const int shift : {16, 8, 0}) text += static_cast<char>(numbers[i] >> shift & 0xff);
  if (text.size() < static_cast<size_t>(numbers[1]) || text.size() > static_cast<size_t>(numbers[1]) + 2)
    refuse_field("context", foreign);
  text.resize(static_cast<size_t>(numbers[1]));
  const auto turns = try_parse_json(text);
  if (!turns || !turns->is_array()) refuse_field("context", foreign);
  std::vector<Message> messages;
  for (const auto& turn : *turns) {
    if (!turn.is_array() || turn.size() != 3 || !turn[0].is_number_unsigned() || turn[0] > 2 ||
        !turn[1].is_string() || !turn[2].is_string())
      refuse_field("context", foreign);
    messages.push_back(
        {.role = static_cast<Role>(turn[0].get<int>()), .content = turn[1], .reasoning = turn[2]});
  }
  return messages;
}

}  // namespace aviary
