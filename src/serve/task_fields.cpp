#include "serve/task_fields.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>

#include "base/error.h"
#include "serve/service.h"

namespace aviary {
namespace {

using Json = nlohmann::ordered_json;

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr int64_t no_token_limit = std::numeric_limits<int64_t>::max();

// A sampler of others: `neutral` is the value with which it does nothing.
struct ForeignSampler {
  std::string_view name;
  double neutral;
};
constexpr ForeignSampler foreign_samplers[] = {
    {"typical_p", 1},      {"tfs_z", 1},          {"mirostat", 0},       {"xtc_probability", 0},
    {"dry_multiplier", 0}, {"dynatemp_range", 0}, {"top_n_sigma", -1},   {"smoothing_factor", 0},
    {"length_penalty", 1}, {"eta_cutoff", 0},     {"epsilon_cutoff", 0}, {"adaptive_target", -1},
};

void refuse_foreign_samplers(const Fields& fields) {
  for (const auto& [name, neutral] : foreign_samplers) {
    const std::optional<double> value = fields.number(name, -infinity, infinity);
    const bool off = !value || *value == neutral || (neutral == -1 && *value <= 0);
    if (!off)
      refuse_field(fields.path_of(name),
                   fmt::format("this sampler does not exist here; leave it out or send {} (off), not {}",
                               neutral, *value));
  }
}

void read_filters(const Fields& fields, SamplerOptions& sampling) {
  if (auto value = fields.number("temperature", 0, 100)) sampling.temperature = *value;
  if (auto value = fields.number("top_p", 0, 1)) {
    sampling.top_p = *value > 0 ? *value : 1;
    if (*value == 0) sampling.temperature = 0;
  }
  if (auto value = fields.integer("top_k", -1, no_token_limit)) sampling.top_k = std::max<int64_t>(*value, 0);
  if (auto value = fields.number("min_p", 0, 1)) sampling.min_p = *value;
  if (auto value = fields.number("top_a", 0, 1)) sampling.top_a = *value;
  if (auto value = fields.number("top_a_power", 0, 100)) sampling.top_a_power = *value;
  if (auto value = fields.number("top_p_x", 0, 1)) sampling.top_p_x = *value;
}

void read_penalties(const Fields& fields, SamplerOptions& sampling) {
  if (auto value = fields.number("presence_penalty", -1000, 1000)) sampling.presence_penalty = *value;
  if (auto value = fields.number("frequency_penalty", -1000, 1000)) sampling.frequency_penalty = *value;
  if (auto value = fields.number("penalty_decay", 0, 1)) sampling.penalty_decay = *value;
  for (const char* name : {"repetition_penalty", "repeat_penalty"})
    if (auto value = fields.number(name, 0, 100)) sampling.repeat_penalty = *value;
  if (auto value = fields.integer("repeat_last_n", -1, no_token_limit)) sampling.repeat_last_n = *value;
}

// For requests that name no seed.
uint64_t random_seed() {
  thread_local std::random_device device;
  return (uint64_t{device()} << 31) ^ device();
}

}  // namespace

void read_sampler(const Fields& fields, SamplerOptions& sampling) {
  refuse_foreign_samplers(fields);
  read_filters(fields, sampling);
  read_penalties(fields, sampling);
  const auto seed = fields.integer("seed", std::numeric_limits<int64_t>::min(), no_token_limit);
  sampling.seed = seed && *seed >= 0 ? static_cast<uint64_t>(*seed) : random_seed();
  try {
    check(sampling);
  } catch (const Error& error) {
    throw TaskFailure({.kind = TaskError::Kind::bad_request, .message = error.what()});
  }
}

void read_state(const Call& call, const Fields& fields, TaskOptions& options) {
  if (const std::string* named = call.request.header("x-rwkv-state-id")) options.state = *named;
  const Json* state = fields.find("state");
  if (state != nullptr)
    options.state = state->is_object() ? fields.object("state")->required_text("id") : *fields.text("state");
  const Json* wanted = fields.find("return_state");
  if (wanted == nullptr) return;
  if (!wanted->is_string()) {
    options.return_state = *fields.flag("return_state");
    return;
  }
  if (*wanted != "id" && *wanted != "base64")
    refuse_field(fields.path_of("return_state"), "expected true, false, \"id\" or \"base64\"");
  options.return_state = true;
  options.return_state_file = *wanted == "base64";
}

}  // namespace aviary
