#include "models/config.h"

#include <algorithm>
#include <charconv>

#include "base/error.h"

namespace aviary {

std::span<const ConfigNumber> config_numbers() {
  static constexpr ConfigNumber numbers[] = {
      {"n_layer", &ModelConfig::n_layer},       {"n_embd", &ModelConfig::n_embd},
      {"vocab_size", &ModelConfig::vocab_size}, {"head_size", &ModelConfig::head_size},
      {"dim_att", &ModelConfig::dim_att},       {"dim_ffn", &ModelConfig::dim_ffn},
      {"ctx_len", &ModelConfig::ctx_len},       {"rank_decay", &ModelConfig::rank_decay},
      {"rank_a", &ModelConfig::rank_a},         {"rank_v", &ModelConfig::rank_v},
      {"rank_gate", &ModelConfig::rank_gate},   {"rank_mix", &ModelConfig::rank_mix},
  };
  return numbers;
}

std::string flag_of(const ModelOption& option) {
  std::string flag = std::string("--") + option.name;
  std::replace(flag.begin(), flag.end(), '_', '-');
  return flag;
}

Options::Options(std::initializer_list<std::pair<const std::string, OptionValue>> values) {
  for (const auto& [name, value] : values) set(name, value);
}

int64_t Options::number(std::string_view name) const {
  const auto found = values_.find(name);
  const auto* number = found == values_.end() ? nullptr : std::get_if<int64_t>(&found->second);
  return number ? *number : 0;
}

const std::string& Options::text(std::string_view name) const {
  static const std::string none;
  const auto found = values_.find(name);
  const auto* text = found == values_.end() ? nullptr : std::get_if<std::string>(&found->second);
  return text ? *text : none;
}

void Options::set(std::string_view name, OptionValue value) {
  if (const auto found = values_.find(name); found != values_.end()) values_.erase(found);
  if (value != OptionValue(int64_t{0}) && value != OptionValue(std::string()))
    values_.emplace(name, std::move(value));
}

std::string describe(const OptionValue& value) {
  if (const auto* number = std::get_if<int64_t>(&value)) return fmt::format("{}", *number);
  return fmt::format("\"{}\"", std::get<std::string>(value));
}

std::vector<int32_t> shift_distances(const std::string& token_shift, int64_t channels) {
  constexpr int32_t furthest = 4096;
  std::vector<int32_t> parts;
  const char *at = token_shift.data(), *end = at + token_shift.size();
  for (bool more = true; more; ++at) {
    int32_t distance = -1;
    const auto [next, error] = std::from_chars(at, end, distance);
    require(error == std::errc() && distance >= 0 && distance <= furthest && (next == end || *next == ','),
            "token_shift is \"{}\", expected distances of 0 to {} such as 1 or 4,2,1", token_shift, furthest);
    parts.push_back(distance);
    more = next != end;
    at = next;
  }
  const int64_t count = std::ssize(parts);
  require(count <= channels, "token_shift \"{}\" names {} distances for {} channels", token_shift, count,
          channels);
  std::vector<int32_t> distances;
  for (int64_t i = 0; i < channels; ++i)
    distances.push_back(parts[static_cast<size_t>(i * count / channels)]);
  return distances;
}

}  // namespace aviary
