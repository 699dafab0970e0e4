#include "train/trained_parts.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/error.h"
#include "checkpoints/adapter_writer.h"
#include "ops/accumulate.h"
#include "train/principal.h"

namespace aviary {
namespace {

std::vector<std::string> split(const std::string& list) {
  std::vector<std::string> parts;
  for (size_t begin = 0; begin <= list.size();) {
    const size_t end = std::min(list.find(',', begin), list.size());
    if (end > begin) parts.push_back(list.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

struct LayerRange {
  int64_t first, last;  // inclusive
};

// "4-11", "4"; empty: all.
LayerRange layer_range(const std::string& text, int64_t layers) {
  if (text.empty()) return {0, layers - 1};
  const size_t dash = text.find('-');
  auto number = [&](const std::string& digits) {
    int64_t value = -1;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    return error == std::errc() && end == digits.data() + digits.size() ? value : -1;
  };
  const int64_t first = number(text.substr(0, dash));
  const int64_t last = dash == text.npos ? first : number(text.substr(dash + 1));
  require(0 <= first && first <= last && last < layers,
          "--layers {}: expected a range of the blocks 0 to {}, as in {}-{}", text, layers - 1, layers / 2,
          layers - 1);
  return {first, last};
}

// Chooses parameters by parts of their names and by layers.
class Choice {
 public:
  Choice(const char* flag, const std::string& names, const std::string& layers, int64_t layer_count)
      : flag_(flag),
        names_(split(names)),
        found_(names_.size()),
        range_(layer_range(layers, layer_count)),
        by_layer_(!layers.empty()) {}

  bool takes(const ParameterSpec& spec) {
    const int64_t layer = layer_of(spec.name);
    if (by_layer_ && (layer < range_.first || layer > range_.last)) return false;
    bool chosen = names_.empty();
    for (size_t i = 0; i < names_.size(); ++i)
      if (spec.name.find(names_[i]) != std::string::npos) chosen = found_[i] = true;
    return chosen;
  }
  void require_all_found() const {
    for (size_t i = 0; i < names_.size(); ++i)
      require(
          found_[i],
          "{} {}: nothing that can be trained so has this in its name; aviary inspect --tensors lists the "
          "names",
          flag_, names_[i]);
  }

 private:
  const char* flag_;
  std::vector<std::string> names_;
  std::vector<bool> found_;
  LayerRange range_;
  bool by_layer_;
};

// A[j, k] = 1 if k mod r == j.
void set_modulo(const Tensor& a) {
  std::vector<double> values(static_cast<size_t>(a.count()));
  const int64_t rank = a.rows(), in = a.cols();
  for (int64_t k = 0; k < in; ++k) values[static_cast<size_t>(k % rank * in + k)] = 1;
  from_host(values, a);
}

}  // namespace

TrainedParts::TrainedParts(Model& model, const TrainConfig& config)
    : method_(config.tuning.method),
      optimizer_(config.optimizer),
      muon_of_(config.muon_of),
      muon_rate_(config.muon_rate),
      adamw_(std::make_shared<AdamW>(config.beta1, config.beta2, config.epsilon, config.cautious_decay)),
      lion_(std::make_shared<Lion>(config.beta1, config.beta2, config.cautious_decay)),
      muon_(std::make_shared<Muon>(config.momentum, config.momentum_warmup, config.cautious_decay,
                                   config.precision)),
      weight_decay_(config.weight_decay) {
  const Tuning& tuning = config.tuning;
  if (tuning.method == TuneMethod::full || !tuning.parts.empty()) add_parameters(model, config);
  if (tuning.method == TuneMethod::state) add_first_state(model);
  if (tuning.method != TuneMethod::full && tuning.method != TuneMethod::state) add_adapters(model, config);
}

void TrainedParts::add_parameters(Model& model, const TrainConfig& config) {
  const bool full = config.tuning.method == TuneMethod::full;
  Choice choice("--train", config.tuning.parts, config.tuning.layers, model.config().n_layer);
  for (Parameter& parameter : model.parameters()) {
    if (parameter.spec.constant || !choice.takes(parameter.spec)) continue;
    require(parameter.weight.changeable(),
            "--train: {} is a matrix or a table of the base, which stays as it is with --method {}; train it "
            "with "
            "--method full, or give it an adapter with --targets",
            parameter.spec.name, name_of(config.tuning.method));
    parameters_.emplace_back(parameter);
  }
  choice.require_all_found();
  require(full || !parameters_.empty(), "--train {}: no parameter has this in its name", config.tuning.parts);
}

void TrainedParts::add_adapters(Model& model, const TrainConfig& config) {
  const Tuning& tuning = config.tuning;
  if (tuning.method == TuneMethod::lora) scale_ = tuning.alpha / static_cast<double>(tuning.rank);
  Choice choice("--targets", tuning.targets, tuning.layers, model.config().n_layer);
  const Random random = Random(config.seed).split(3);
  for (Parameter& parameter : model.parameters()) {
    const ParameterSpec& spec = parameter.spec;
    if (spec.use != Use::out_in || spec.shape.rank() != 2 || layer_of(spec.name) < 0 || !choice.takes(spec))
      continue;
    const int64_t out = spec.shape[0], in = spec.shape[1], rank = tuning.rank;
    require(rank <= std::min(in, out), "--rank is {}, but {} has only {} x {} numbers; take a smaller rank",
            rank, spec.name, out, in);
    const std::string name = spec.name.substr(0, spec.name.rfind(".weight"));
    auto part = [&](const char* of, Shape shape) {
      return ParameterSpec{.name = name + of, .use = Use::out_in, .shape = shape, .initialize = {}};
    };
    Pair& pair = pairs_.emplace_back(Pair{spec.name,
                                          std::make_shared<Adapter>(),
                                          {},
                                          part(".lora_A", {rank, in}),
                                          part(".lora_B", {out, rank})});
    // The file's B is scale times smaller than the one that is computed with, so its rate is, too.
    pair.b.learning_rate_scale = scale_;
    begin(pair, parameter.weight, config.precision, random.split(pairs_.size()));
  }
  choice.require_all_found();
  require(!pairs_.empty(), "--method {}: the model has no matrix for an adapter{}", name_of(tuning.method),
          tuning.layers.empty() ? "" : " in --layers " + tuning.layers);
}

// Gives a pair its first numbers and adds it to the weight.
void TrainedParts::begin(Pair& pair, Weight& weight, kernels::Precision precision, Random random) {
  auto values = [&](const ParameterSpec& spec) { return Weight(spec.name, spec.shape, weight.dtype()); };
  Adapter& adapter = *pair.adapter;
  adapter = {values(pair.a), values(pair.b)};
  if (method_ == TuneMethod::miss) {
    set_modulo(adapter.a.value());
  } else if (method_ == TuneMethod::lora) {
    init::uniform(1 / std::sqrt(static_cast<double>(pair.a.shape[1])))(random, adapter.a.value());
  } else {
    // B A begins with the largest part of W, and B0 A0 takes it away again, so that the base stays as it is.
    const PrincipalPart part = principal_part(weight, pair.a.shape[0], precision, random);
    copy(part.a.view(), adapter.a.value());
    copy(part.b.view(), adapter.b.value());
    pair.start = std::make_shared<Adapter>(Adapter{values(pair.a), values(pair.b)});
    copy(part.a.view(), pair.start->a.value());
    std::vector<double> negative = to_host(part.b.view());
    for (double& number : negative) number = -number;
    from_host(negative, pair.start->b.value());
  }
  weight.add_adapter(pair.adapter);
  if (pair.start) weight.add_adapter(pair.start);
}

void TrainedParts::add_first_state(Model& model) {
  require(
      !model.learns_first_state(),
      "--method state: this model learns the state that texts begin with itself; train it with --method full "
      "--train time_state");
  const std::vector<StateSpec>& specs = model.state_specs();
  for (size_t part = 0; part < specs.size(); ++part) {
    const StateSpec& spec = specs[part];
    if (spec.when_tuned == WhenTuned::zero) zero_parts_.push_back(part);
    if (spec.when_tuned != WhenTuned::trained && spec.when_tuned != WhenTuned::trained_not_negative) continue;
    FirstState& first = first_state_.emplace_back(FirstState{
        part, spec.when_tuned == WhenTuned::trained_not_negative,
        Parameter{{.name = spec.name, .use = Use::vector, .shape = spec.shape, .initialize = {}}, {}}});
    first.values.weight = Weight(spec.name, spec.shape, model.dtype());
  }
  require(!first_state_.empty(),
          "--method state: only RWKV-4 and versions from 5 on have a state that can be tuned, not {}",
          model.config().version);
}

std::vector<ParameterGroup> TrainedParts::groups() {
  std::shared_ptr<const UpdateRule> rule = adamw_;
  if (optimizer_ == OptimizerKind::lion) rule = lion_;
  ParameterGroup decaying{.rule = rule, .weight_decay = weight_decay_}, others{.rule = rule};
  ParameterGroup matrices{.rule = muon_, .learning_rate_scale = muon_rate_, .weight_decay = weight_decay_};
  Choice choice("--muon-of", muon_of_, "", 0);
  auto add = [&](const TrainedWeight& trained) {
    const bool matrix =
        optimizer_ == OptimizerKind::muon && Muon::takes(*trained.spec) && choice.takes(*trained.spec);
    (matrix ? matrices : trained.spec->decay ? decaying : others).parameters.push_back(trained);
  };
  for (const TrainedWeight& parameter : parameters_) add(parameter);
  for (const Pair& pair : pairs_) {
    if (method_ != TuneMethod::miss) add({pair.a, pair.adapter->a});
    add({pair.b, pair.adapter->b});
  }
  for (FirstState& first : first_state_) add(first.values);
  if (optimizer_ == OptimizerKind::muon) choice.require_all_found();
  return {matrices, decaying, others};
}

void TrainedParts::set_rules(const TrainConfig& config) {
  adamw_->beta1 = lion_->beta1 = config.beta1;
  adamw_->beta2 = lion_->beta2 = config.beta2;
  muon_->momentum = config.momentum;
}

void TrainedParts::begin(State& state) const {
  state.reset();
  for (const FirstState& first : first_state_) copy(first.values.weight.value(), state[first.part]);
  for (size_t part : zero_parts_) set_zero(state[part]);
}

void TrainedParts::add_state_gradients(const Runner& runner, const std::vector<bool>& fresh) {
  for (FirstState& first : first_state_) {
    const Tensor gradient = runner.first_state_gradient(first.part);
    for (size_t s = 0; s < fresh.size() && !gradient.empty(); ++s)
      if (fresh[s]) accumulate(part_of(gradient, static_cast<int64_t>(s)), first.values.weight.gradient());
  }
}

void TrainedParts::restrain() {
  for (FirstState& first : first_state_) {
    if (!first.not_negative) continue;
    std::vector<double> values = to_host(first.values.weight.value());
    for (double& value : values) value = std::max(value, 0.0);
    from_host(values, first.values.weight.value());
  }
}

std::vector<AdapterMatrix> TrainedParts::matrices() const {
  std::vector<AdapterMatrix> result;
  auto floats = [](const Tensor& tensor, double factor) {
    std::vector<float> values;
    for (double value : to_host(tensor)) values.push_back(static_cast<float>(value * factor));
    return values;
  };
  for (const Pair& pair : pairs_) {
    auto matrix_of = [&](const Adapter& adapter, double factor) {
      return AdapterMatrix{
          .name = pair.of,
          .rank = pair.a.shape[0],
          .a = method_ == TuneMethod::miss ? std::vector<float>() : floats(adapter.a.value(), 1),
          .b = floats(adapter.b.value(), factor),
          .in = pair.a.shape[1]};
    };
    const AdapterMatrix trained = matrix_of(*pair.adapter, 1 / scale_);
    result.push_back(pair.start ? difference(trained, matrix_of(*pair.start, -1)) : trained);
  }
  return result;
}

}  // namespace aviary
