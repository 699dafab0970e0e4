#include "serve/openai_request.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "serve/service.h"
#include "serve/task_fields.h"

namespace aviary {
namespace {

using Json = nlohmann::ordered_json;

constexpr int64_t no_limit = std::numeric_limits<int64_t>::max();

int32_t bias_token(const Json& token, const std::string& path, const Call& call, const ModelInfo& model) {
  int64_t id = -1;
  if (token.is_number_integer()) {
    id = token.get<int64_t>();
  } else if (token.is_string()) {
    const std::vector<int32_t> tokens = call.service.tokenize(model.name, token.get<std::string>());
    if (tokens.size() != 1) refuse_field(path, "expected a token id or the text of one token");
    id = tokens[0];
  }
  const int64_t end = model.vocabulary > 0 ? model.vocabulary : std::numeric_limits<int32_t>::max();
  if (id < 0 || id >= end) refuse_field(path, fmt::format("expected a token id below {}", end));
  return static_cast<int32_t>(id);
}

float bias_value(const Json& value, const std::string& path) {
  if (value == false) return -std::numeric_limits<float>::infinity();
  if (!value.is_number() || std::abs(value.get<double>()) > 100)
    refuse_field(path, "expected a number from -100 to 100, or false to ban the token");
  return value.get<float>();
}

// {"id": bias}, or llama.cpp's [[id or text, bias]].
void read_logit_bias(const Call& call, const Fields& fields, const ModelInfo& model,
                     std::vector<TokenBias>& bias) {
  const Json* value = fields.find("logit_bias");
  if (value == nullptr) return;
  bias.clear();
  if (value->is_object()) {
    for (const auto& [key, number] : value->items()) {
      const std::string path = "logit_bias." + key;
      const bool digits = !key.empty() && key.size() < 10 &&
                          std::all_of(key.begin(), key.end(), [](char c) { return c >= '0' && c <= '9'; });
      if (!digits) refuse_field(path, "expected a token id as the name");
      int64_t id = 0;
      for (char c : key) id = 10 * id + (c - '0');
      bias.push_back({bias_token(id, path, call, model), bias_value(number, path)});
    }
    return;
  }
  if (!value->is_array()) fields.refuse("logit_bias", "an object of token ids and numbers");
  for (size_t i = 0; i < value->size(); ++i) {
    const std::string path = fmt::format("logit_bias[{}]", i);
    const Json& pair = (*value)[i];
    if (!pair.is_array() || pair.size() != 2)
      refuse_field(path, "expected a pair of a token id and a number");
    bias.push_back({bias_token(pair[0], path, call, model), bias_value(pair[1], path)});
  }
}

void read_sampling(const Call& call, const Fields& fields, const ModelInfo& model, SamplerOptions& sampling) {
  read_sampler(fields, sampling);
  read_logit_bias(call, fields, model, sampling.bias);
}

// A schema is passed on as text, with its members in their order.
ResponseFormat schema_format(const Json& schema, const std::string& path) {
  if (!schema.is_object() && !schema.is_boolean()) refuse_field(path, "expected a JSON Schema, an object");
  return {.kind = ResponseFormat::Kind::json_schema, .source = json_text(schema)};
}

ResponseFormat read_response_format(const Fields& format) {
  format.at("type", "a text");
  const std::string type = *format.word("type", {"text", "json_object", "json_schema", "regex", "grammar"});
  if (type == "json_object") {
    if (const Json* schema = format.find("schema")) return schema_format(*schema, format.path_of("schema"));
    return {.kind = ResponseFormat::Kind::json_object};
  }
  if (type == "json_schema") {
    if (const Json* schema = format.find("schema")) return schema_format(*schema, format.path_of("schema"));
    format.at("json_schema", "an object with a schema");
    const Fields inner = *format.object("json_schema");
    return schema_format(inner.at("schema", "a JSON Schema"), inner.path_of("schema"));
  }
  if (type == "regex") return {.kind = ResponseFormat::Kind::regex, .source = format.required_text("regex")};
  if (type == "grammar")
    return {.kind = ResponseFormat::Kind::gbnf, .source = format.required_text("grammar")};
  return {};
}

ResponseFormat read_openai_format(const Fields& fields) {
  std::vector<ResponseFormat> asked;
  std::string_view last;
  auto add = [&](std::string_view name, ResponseFormat format) {
    if (format.kind == ResponseFormat::Kind::text) return;
    asked.push_back(std::move(format));
    last = name;
  };
  if (auto format = fields.object("response_format")) add("response_format", read_response_format(*format));
  if (const Json* schema = fields.find("json_schema"))
    add("json_schema", schema_format(*schema, "json_schema"));
  auto text = fields.text("grammar");
  if (text && !text->empty()) add("grammar", {.kind = ResponseFormat::Kind::gbnf, .source = *text});
  text = fields.text("regex");
  if (text && !text->empty()) add("regex", {.kind = ResponseFormat::Kind::regex, .source = *text});
  if (asked.size() > 1) refuse_field(std::string(last), "one restriction of the text at a time");
  return asked.empty() ? ResponseFormat{} : asked.front();
}

}  // namespace

void read_max_tokens(const Call& call, const Fields& fields, const std::vector<std::string_view>& names,
                     TaskOptions& options) {
  for (std::string_view name : names) {
    const std::optional<int64_t> value = fields.integer(name, -1, no_limit);
    if (!value) continue;
    options.max_tokens.reset();
    if (*value >= 0) options.max_tokens = value;
    break;
  }
  const int64_t most = call.router.options().max_tokens;
  if (most > 0) options.max_tokens = std::min(options.max_tokens.value_or(most), most);
}

RequestBasics read_basics(const Call& call, const Fields& fields) {
  RequestBasics basics;
  basics.model = call.service.model(fields.text("model").value_or(""));
  TaskOptions& options = basics.options;
  options = call.service.default_options(basics.model.name);
  options.key = call.request.key;
  read_sampling(call, fields, basics.model, options.sampling);
  for (std::string& stop : fields.texts("stop"))
    if (!stop.empty()) options.stop.push_back(std::move(stop));
  if (auto value = fields.flag("ignore_eos")) options.ignore_end = *value;
  if (auto value = fields.flag("cache_prompt")) options.use_cache = *value;
  if (auto value = fields.flag("return_progress")) options.progress = *value;
  options.format = read_openai_format(fields);
  read_state(call, fields, options);
  basics.stream = fields.flag("stream").value_or(false);
  if (const auto more = fields.object("stream_options")) {
    if (!basics.stream) refuse_field("stream_options", "expected only together with \"stream\": true");
    basics.include_usage = more->flag("include_usage").value_or(false);
  }
  return basics;
}

}  // namespace aviary
