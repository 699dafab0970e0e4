// The effect of quantization on the predictions, and the report.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/threads.h"
#include "quant/report.h"

namespace aviary {
namespace {

using Json = nlohmann::ordered_json;

struct Row {
  double original_loss, quantized_loss, divergence;
  bool same_choice;
};

// log of the sum of e^x.
double log_sum(std::span<const float> x) {
  const double top = static_cast<double>(*std::max_element(x.begin(), x.end()));
  double sum = 0;
  for (float value : x) sum += std::exp(static_cast<double>(value) - top);
  return top + std::log(sum);
}

Row compare_row(std::span<const float> p, std::span<const float> q, size_t target) {
  const double p_sum = log_sum(p), q_sum = log_sum(q);
  double divergence = 0;
  for (size_t i = 0; i < p.size(); ++i) {
    const double log_p = static_cast<double>(p[i]) - p_sum;
    divergence += std::exp(log_p) * (log_p - (static_cast<double>(q[i]) - q_sum));
  }
  return {
      p_sum - static_cast<double>(p[target]), q_sum - static_cast<double>(q[target]),
      std::max(0.0, divergence),
      std::max_element(p.begin(), p.end()) - p.begin() == std::max_element(q.begin(), q.end()) - q.begin()};
}

bool is_finite(std::span<const float> x) {
  return std::all_of(x.begin(), x.end(), [](float value) { return std::isfinite(value); });
}

void add(ModelComparison& sums, std::span<const float> original, std::span<const float> quantized,
         std::span<const int32_t> targets) {
  const size_t width = original.size() / targets.size();
  std::vector<Row> rows(targets.size());
  parallel_for(std::ssize(rows), 1, [&](int64_t begin, int64_t end) {
    for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i)
      rows[i] = compare_row(original.subspan(i * width, width), quantized.subspan(i * width, width),
                            static_cast<size_t>(targets[i]));
  });
  for (const Row& row : rows) {
    sums.original_loss += row.original_loss;
    sums.quantized_loss += row.quantized_loss;
    sums.mean_divergence += row.divergence;
    sums.largest_divergence = std::max(sums.largest_divergence, row.divergence);
    sums.same_choice += row.same_choice ? 1 : 0;
  }
  sums.tokens += std::ssize(rows);
}

ModelComparison mean_of(ModelComparison sums) {
  const double count = static_cast<double>(std::max<int64_t>(sums.tokens, 1));
  for (double* sum : {&sums.original_loss, &sums.quantized_loss, &sums.mean_divergence, &sums.same_choice})
    *sum /= count;
  return sums;
}

// Four digits are enough for a report.
double short_number(double x) {
  const std::string text = fmt::format("{:.4g}", x);
  // std::stod depends on the locale of the process.
  std::from_chars(text.data(), text.data() + text.size(), x);
  return x;
}

Json json_of(const ModelComparison& comparison) {
  if (!comparison.finite) return {{"finite", false}};
  return {{"tokens", comparison.tokens},
          {"perplexity_before", short_number(comparison.original_perplexity())},
          {"perplexity_after", short_number(comparison.quantized_perplexity())},
          {"mean_divergence", short_number(comparison.mean_divergence)},
          {"largest_divergence", short_number(comparison.largest_divergence)},
          {"same_choice", short_number(comparison.same_choice)}};
}

}  // namespace

double ModelComparison::original_perplexity() const { return std::exp(original_loss); }
double ModelComparison::quantized_perplexity() const { return std::exp(quantized_loss); }

ModelComparison compare_quantized(Runner& original, Runner& quantized, std::span<const int32_t> tokens,
                                  const std::function<bool(int64_t)>& progress) {
  const int64_t width = original.model().config().vocab_size;
  require(tokens.size() >= 2, "compare: the text has {} tokens, at least 2 are needed", tokens.size());
  require(width == quantized.model().config().vocab_size,
          "compare: the models have {} and {} tokens in their vocabularies, expected the same", width,
          quantized.model().config().vocab_size);
  for (int32_t token : tokens)
    require(token >= 0 && token < width, "compare: token {} is not in the vocabulary of {}", token, width);
  const int64_t total = std::ssize(tokens) - 1;
  // At most 16 MB of logits for each model.
  const int64_t chunk = std::clamp<int64_t>((1 << 22) / width, 1, 512);
  ModelComparison sums;
  State original_state = original.new_state(), quantized_state = quantized.new_state();
  for (int64_t begin = 0; begin < total; begin += chunk) {
    const int64_t rows = std::min(chunk, total - begin);
    const auto from = static_cast<size_t>(begin), count = static_cast<size_t>(rows);
    auto logits_of = [&](Runner& runner, State& state) {
      const Tensor logits =
          runner.all_logits(tokens.subspan(from, count), Sequences::uniform(1, rows), state);
      return std::span<const float>(logits.as<float>(), static_cast<size_t>(logits.count()));
    };
    const auto p = logits_of(original, original_state), q = logits_of(quantized, quantized_state);
    require(is_finite(p), "compare: the logits of the original model are not finite: it is broken");
    if (!is_finite(q)) {
      sums.finite = false;
      break;
    }
    add(sums, p, q, tokens.subspan(from + 1, count));
    if (progress && !progress(begin + rows)) break;
  }
  return mean_of(sums);
}

std::string why_broken(const QuantizationPlan& plan, const ModelComparison* comparison) {
  for (const PlannedTensor& tensor : plan.tensors) {
    const std::string& name = tensor.stored.source.name;
    if (std::isinf(tensor.error.rms)) return fmt::format("{} holds numbers that are not finite", name);
    if (tensor.error.rms >= 1)
      return fmt::format("{} loses its numbers: as {} they are all zero or worse", name,
                         name_of(tensor.stored.type));
  }
  if (!comparison) return "";
  if (!comparison->finite) return "the logits of the quantized model are not finite";
  if (!(comparison->mean_divergence <= largest_useful_divergence))
    return fmt::format(
        "the predictions of the quantized model are {:.3f} nats per token away from the original's, at most "
        "{} is useful",
        comparison->mean_divergence, largest_useful_divergence);
  return "";
}

std::string to_json(const QuantizationPlan& plan, const ModelComparison* comparison) {
  Json tensors = Json::object();
  for (const PlannedTensor& tensor : plan.tensors) {
    Json entry{{"type", name_of(tensor.stored.type)}};
    if (std::isfinite(tensor.error.rms) && tensor.error.rms > 0) {
      entry["rms"] = short_number(tensor.error.rms);
      entry["largest"] = short_number(tensor.error.largest);
    }
    if (!tensor.reason.empty()) entry["reason"] = tensor.reason;
    tensors[tensor.stored.source.name] = std::move(entry);
  }
  Json json = Json::object();
  if (plan.wished) json["type"] = name_of(*plan.wished);
  json["tensors"] = std::move(tensors);
  if (comparison) json["comparison"] = json_of(*comparison);
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace aviary
