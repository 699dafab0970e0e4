#include "serve/states.h"

#include <fmt/format.h>

#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "serve/json_fields.h"
#include "serve/openai_request.h"

namespace aviary {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t longest_name = 200, most_parts = 256;

Json json_of(const KeptState& state) {
  return {{"id", state.id},
          {"object", "state"},
          {"name", state.name.empty() ? Json() : Json(state.name)},
          {"model", state.model},
          {"model_digest", state.digest},
          {"version", state.version},
          {"tokens", state.tokens},
          {"pending_tokens", state.pending},
          {"bytes", state.bytes},
          {"created", state.created}};
}

void check_name(const std::string& name) {
  if (name.size() > longest_name)
    refuse_field("name", fmt::format("expected at most {} bytes, got {}", longest_name, name.size()));
  if (name.starts_with("state_")) refuse_field("name", "names do not begin with \"state_\", as ids do");
}

// A text or a list of tokens.
std::optional<Prompt> prompt_in(const Fields& fields, std::string_view name) {
  if (!fields.has(name)) return {};
  return prompt_of(*fields.find(name), fields.path_of(name));
}

StateTask task_of(const Call& call, const Fields& fields) {
  StateTask task{.model = call.service.model(fields.text("model").value_or("")).name,
                 .chat_template = fields.text("chat_template").value_or(""),
                 .name = fields.text("name").value_or(""),
                 .key = call.request.key};
  check_name(task.name);
  Fields source = fields;
  std::string_view text = "input";
  if (const std::optional<Fields> from = fields.object("from")) {
    if (fields.has("input") || fields.has("messages"))
      refuse_field("from", "takes the place of input and messages; what follows the state is from.append");
    task.state = from->required_text("state");
    source = *from;
    text = "append";
  }
  task.input = prompt_in(source, text);
  if (task.input && source.has("messages")) source.refuse(text, "this or messages, not both");
  if (!task.input && !source.has("messages")) source.refuse(text, "a text, a list of tokens, or messages");
  if (!task.input) task.messages = read_messages(source);
  return task;
}

Service::StateDone respond_with(const Call& call) {
  return [call](const KeptState& state, const std::optional<TaskError>& error) {
    if (error) return respond_failure(call, *error);
    respond_json(call, json_text(json_of(state)));
  };
}

void make(Call& call) {
  const Json body = parse_request(call.request.body);
  StateTask task = task_of(call, Fields(body));
  call.request.body.clear();
  call.service.make_state(std::move(task), respond_with(call));
}

void mix(Call& call) {
  const Json body = parse_request(call.request.body);
  const Fields fields(body);
  const std::string name = fields.text("name").value_or("");
  check_name(name);
  const std::string method = fields.word("method", {"sum", "mean", "compose"}).value_or("sum");
  StateMix mix{.name = name, .key = call.request.key};
  if (method == "mean") mix.method = StateMix::Method::mean;
  if (method == "compose") mix.method = StateMix::Method::compose;
  for (const Fields& part : fields.objects("parts")) {
    constexpr float most = std::numeric_limits<float>::max();
    const std::optional<double> weight = part.number("weight", -most, most);
    if (weight && method == "compose")
      refuse_field(part.path_of("weight"), "a composition has no weights; leave it out");
    mix.parts.push_back({part.required_text("id"), weight.value_or(1)});
  }
  if (mix.parts.empty() || mix.parts.size() > most_parts)
    refuse_field("parts", fmt::format("expected 1 to {} states, got {}", most_parts, mix.parts.size()));
  call.request.body.clear();
  call.service.mix_states(std::move(mix), respond_with(call));
}

void list(Call& call) {
  Json data = Json::array();
  for (const KeptState& state : call.service.states(call.request.key)) data.push_back(json_of(state));
  respond_json(call, json_text({{"object", "list"}, {"data", std::move(data)}}));
}

void describe(Call& call) {
  respond_json(call, json_text(json_of(call.service.state(call.request.key, call.parts[0]))));
}

void download(Call& call) {
  std::string bytes = call.service.state_file(call.request.key, call.parts[0]);
  HttpHeaders headers = request_id_headers(call.request.id);
  headers.emplace_back("Content-Type", "application/octet-stream");
  call.answer->respond(200, headers, std::move(bytes));
}

// An upload to an id would change what the id stands for.
void upload(Call& call) {
  check_name(call.parts[0]);
  const std::string* model = call.request.value("model");
  const std::string name = call.service.model(model ? *model : "").name;
  respond_json(call, json_text(json_of(call.service.put_state_file(call.request.key, name, call.parts[0],
                                                                   call.request.body))));
}

void erase_state(Call& call) {
  const std::string id = call.service.state(call.request.key, call.parts[0]).id;
  call.service.erase_state(call.request.key, id);
  respond_json(call, json_text({{"id", id}, {"object", "state"}, {"deleted", true}}));
}

}  // namespace

void add_states(Router& router) {
  const auto add = [&](const char* method, const char* path, void (*handle)(Call&)) {
    router.add({.method = method, .path = std::string("/v1/states") + path, .handle = handle});
  };
  add("POST", "", make);
  add("POST", "/mix", mix);
  add("GET", "", list);
  add("GET", "/{state}/content", download);
  add("PUT", "/{name}/content", upload);
  add("GET", "/{state}", describe);
  add("DELETE", "/{state}", erase_state);
}

}  // namespace aviary
