#include "quant/random_model.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <map>
#include <vector>

#include "base/error.h"
#include "base/random.h"
#include "models/registry.h"
#include "models/run.h"
#include "numbers/encoding.h"
#include "quant/plan.h"
#include "tensor/buffer.h"

namespace aviary {
namespace {

struct PublishedSize {
  const char* name;
  int64_t layers, width;
};
constexpr PublishedSize published[] = {{"0.1B", 12, 768},  {"169M", 12, 768},  {"0.19B", 12, 768},
                                       {"0.4B", 24, 1024}, {"430M", 24, 1024}, {"0.45B", 24, 1024},
                                       {"1.5B", 24, 2048}, {"1.6B", 24, 2048}, {"2.9B", 32, 2560},
                                       {"3B", 32, 2560},   {"7B", 32, 4096},   {"7.2B", 32, 4096}};

// The number in `text`; 0 if it is not a number.
int64_t parse_number(std::string_view text) {
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() ? number : 0;
}

constexpr int64_t random_piece = 1 << 20;  // random numbers that are repeated; whole blocks of every type

// As many bytes of `type` as the largest matrix needs.
class RepeatedNumbers {
 public:
  RepeatedNumbers(Dtype type, int64_t count, double deviation) : bytes_(bytes_of(type, count)) {
    std::vector<float> values(random_piece);
    Random random(1);
    for (float& value : values) value = static_cast<float>(deviation * random.normal());
    auto* data = static_cast<std::byte*>(bytes_.data());
    std::vector<std::byte> encoded(static_cast<size_t>(bytes_of(type, random_piece)));
    encode(values, type, encoded.data());
    for (int64_t at = 0; at < bytes_.bytes(); at += std::ssize(encoded))
      std::memcpy(data + at, encoded.data(),
                  static_cast<size_t>(std::min(std::ssize(encoded), bytes_.bytes() - at)));
  }
  std::span<const std::byte> bytes(int64_t count) const {
    return {static_cast<const std::byte*>(bytes_.data()), static_cast<size_t>(count)};
  }

 private:
  Buffer bytes_;
};

}  // namespace

ModelConfig parse_model_size(const std::string& name, int64_t vocabulary) {
  const size_t colon = name.find(':');
  const std::string version = name.substr(0, colon);
  const std::string size = colon == std::string::npos ? "" : name.substr(colon + 1);
  ModelConfig config{.version = model_version(version).name};
  for (const PublishedSize& known : published)
    if (size == known.name) config.n_layer = known.layers, config.n_embd = known.width;
  if (const size_t cross = size.find('x'); cross != std::string::npos) {
    config.n_layer = parse_number(std::string_view(size).substr(0, cross));
    config.n_embd = parse_number(std::string_view(size).substr(cross + 1));
  }
  if (config.n_layer <= 0 || config.n_embd <= 0) {
    std::vector<std::string_view> names;
    for (const PublishedSize& known : published) names.emplace_back(known.name);
    fail(
        "\"{}\" names no size of a model: expected a version and a size, as rwkv7:1.5B ({}), or layers and "
        "width, as rwkv7:24x2048",
        name, fmt::join(names, ", "));
  }
  config.vocab_size = vocabulary;
  config.ctx_len = 1024;
  return complete(config);
}

std::unique_ptr<Model> make_random_model(const ModelConfig& config, Dtype type,
                                         std::optional<kernels::Precision> precision) {
  std::unique_ptr<Model> model = create_model_without_numbers(config, Dtype::f32);
  std::map<Dtype, int64_t> largest;
  auto type_of = [&](const Parameter& parameter) { return planned_type(describe(parameter.spec), type); };
  auto is_stored = [](const Parameter& parameter) {
    return is_matrix(describe(parameter.spec)) && parameter.spec.use != Use::vector;
  };
  for (const Parameter& parameter : model->parameters())
    if (is_stored(parameter)) {
      int64_t& count = largest[type_of(parameter)];
      count = std::max(count, parameter.spec.shape.count());
    }
  std::map<Dtype, std::shared_ptr<const RepeatedNumbers>> numbers;
  const double deviation = 0.7 / std::sqrt(static_cast<double>(config.n_embd));
  for (const auto& [of, count] : largest)
    numbers[of] = std::make_shared<const RepeatedNumbers>(of, count, deviation);
  uint64_t stream = 0;
  for (Parameter& parameter : model->parameters()) {
    const Dtype of = type_of(parameter);
    Random random = Random(2).split(stream++);
    if (is_stored(parameter)) {
      parameter.weight.store(
          {of, numbers[of]->bytes(bytes_of(of, parameter.spec.shape.count())), numbers[of]});
      continue;
    }
    parameter.weight.allocate();
    parameter.spec.initialize(random, parameter.weight.value());
  }
  model->parameters().pack(precision.value_or(usual_precision(*model)));
  return model;
}

}  // namespace aviary
