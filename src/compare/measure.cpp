#include "compare/measure.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/files.h"
#include "base/json.h"
#include "checkpoints/checkpoint.h"

namespace aviary {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* measures_file = "measures.json";
constexpr int64_t largest_file = 64 << 20;
constexpr int64_t contexts_read = 4;  // loss by position is measured up to this many contexts
constexpr int64_t timed_tokens = 64;
constexpr int64_t position_tokens = 200'000;  // in all windows together

// Every member reads the same windows; a member with a context limit reads only their beginnings.
PositionLoss measure_positions(Runner& runner, const TrainConfig& config, std::span<const int32_t> text,
                               const std::function<bool()>& go_on) {
  const int64_t limit = runner.model().context_limit();
  const int64_t longest = std::min(contexts_read * config.context, std::ssize(text) - 1);
  const int64_t length = limit > 0 ? std::min(longest, limit) : longest;
  text = text.first(text.size() - static_cast<size_t>(longest - length));
  return loss_by_position(runner, text, length, std::max<int64_t>(1, position_tokens / longest),
                          [&](int64_t) { return go_on(); });
}

}  // namespace

std::optional<Measures> measure_member(const std::filesystem::path& run, const TrainConfig& config,
                                       const Corpus& data, const std::function<bool()>& go_on) {
  const Checkpoint checkpoint = load_checkpoint(run / "model.safetensors");
  Measures measures;
  {
    Runner runner(*checkpoint.model, config.precision);
    PositionLoss loss = measure_positions(runner, config, data.validation, go_on);
    if (!go_on()) return {};
    measures.windows = loss.windows;
    measures.loss_by_position = std::move(loss.nats);
  }
  Runner runner(*checkpoint.model);  // the precision in which `aviary generate` runs float32 weights
  const int64_t limit = checkpoint.model->context_limit();
  const int64_t timed = limit > 0 ? std::clamp<int64_t>(limit / 4, 1, timed_tokens) : timed_tokens;
  for (int64_t context : timed_contexts) {
    if (limit > 0) context = std::min(context, limit - timed);
    const auto time = time_generation(runner, data.train, context, timed, go_on);
    if (!time) return {};
    measures.generation.push_back(*time);
  }
  return measures;
}

std::optional<Measures> read_measures(const std::filesystem::path& run) {
  const std::filesystem::path path = run / measures_file;
  if (!std::filesystem::exists(path)) return {};
  const std::optional<Json> found = try_parse_json(read_file(path, largest_file));
  if (!found) return {};
  const Json& json = *found;
  try {
    Measures measures{
        .windows = json.at("windows"), .loss_by_position = json.at("loss_by_position"), .generation = {}};
    for (const Json& time : json.at("generation"))
      measures.generation.push_back({.context = time.at("context"), .seconds = time.at("seconds")});
    if (measures.generation.size() != std::size(timed_contexts) || measures.loss_by_position.empty())
      return {};
    return measures;
  } catch (const Json::exception&) {
    return {};
  }
}

void write_measures(const std::filesystem::path& run, const Measures& measures) {
  Json json{{"windows", measures.windows},
            {"loss_by_position", measures.loss_by_position},
            {"generation", Json::array()}};
  for (const GenerationTime& time : measures.generation)
    json["generation"].push_back({{"context", time.context}, {"seconds", time.seconds}});
  write_file_atomically(run / measures_file, json.dump() + "\n");
}

}  // namespace aviary
