#include "verify/golden.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/difference.h"
#include "base/error.h"
#include "base/files.h"
#include "base/json.h"
#include "checkpoints/checkpoint.h"
#include "models/recognize.h"
#include "models/run.h"
#include "train/optimizer.h"
#include "verify/golden_answers.h"
#include "verify/laws.h"

namespace aviary {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using Doubles = std::vector<double>;
using States = std::vector<State>;

// Tolerances for float32 and for double precision. Reference values that were rounded to float32 have an
// error of 1e-7 themselves.
struct Tolerances {
  double logits, loss, gradient, state;
};
constexpr Tolerances float_tolerances{5e-5, 1e-5, 1e-3, 1e-4};
constexpr Tolerances double_tolerances{1e-6, 1e-6, 1e-5, 1e-5};

// A gradient smaller than this is 0 in exact arithmetic.
constexpr double rounding = 1e-12;

double largest_magnitude(const Doubles& a) {
  double largest = 0;
  for (double value : a) largest = larger(largest, std::abs(value));
  return largest;
}

Json read_json(const fs::path& path) { return parse_json(read_file(path, 64 << 20), path.string()); }

fs::path model_file(const fs::path& folder, const std::string& stem) {
  for (const char* ending : {".safetensors", ".pth"})
    if (fs::exists(folder / (stem + ending))) return folder / (stem + ending);
  fail("{}: there is neither {}.safetensors nor {}.pth", folder.string(), stem, stem);
}

// The config of the model in a folder of golden data.
ModelConfig config_in(const fs::path& folder, const TensorFile& file, const fs::path& path) {
  ModelConfig config = config_of(file, path.string());
  // The tensors do not show whether rotary attention has token shift.
  const fs::path about = folder / "config.json";
  if (fs::exists(about) && read_json(about).value("model_type", "") == "MHA_shift")
    config.version = "mha_rotary_shift";
  return config;
}

std::vector<int32_t> tokens_of(const TensorEntry& entry) {
  std::vector<int32_t> tokens;
  for (double value : to_doubles(entry)) tokens.push_back(static_cast<int32_t>(value));
  return tokens;
}

// A batch of B sequences of T tokens; without targets if there is no original trainer.
struct Batch {
  std::vector<int32_t> tokens, targets;
  Sequences sequences;
};

Batch batch_of(const TensorFile& file, const std::string& where) {
  const TensorEntry *idx = file.find("idx"), *targets = file.find("targets");
  require(idx && idx->shape.size() == 2, "{}: idx [B, T] is missing", where);
  return {tokens_of(*idx), targets ? tokens_of(*targets) : std::vector<int32_t>(),
          Sequences::uniform(idx->shape[0], idx->shape[1])};
}

// The comparison of one folder in one precision.
class Checker {
 public:
  Checker(const fs::path& folder, Dtype dtype, std::vector<LawCheck>& checks)
      : folder_(folder),
        dtype_(dtype),
        tolerances_(dtype == Dtype::f64 ? double_tolerances : float_tolerances),
        checks_(checks) {
    model_ = load("model");
  }

  void check_all() {
    const TensorFile golden = read_tensor_file(folder_ / "golden.safetensors");
    const Batch batch = batch_of(golden, (folder_ / "golden.safetensors").string());
    check_outputs(golden, batch, "");
    check_gradients(golden, batch, "grad.", "", false);
    check_gradients(golden, batch, "l2wrap.grad.", "l2wrap ", true);
    check_first_token(golden, batch);
    check_states(golden, batch);
    check_single_steps(golden, batch);
    if (fs::exists(folder_ / "long.safetensors")) {
      const TensorFile file = read_tensor_file(folder_ / "long.safetensors");
      const Batch long_batch = batch_of(file, (folder_ / "long.safetensors").string());
      check_outputs(file, long_batch, "long ");
      check_gradients(file, long_batch, "grad.", "long ", false);
    }
    check_bf16_parameters(golden, batch);
    check_training("train.json", "after", "");
    check_training("train_neo.json", "after", "_neo");
  }

 private:
  void add(const std::string& what, double difference, double tolerance) {
    checks_.push_back({fmt::format("{} {}", name_of(dtype_), what), difference, tolerance});
  }

  std::unique_ptr<Model> load(const std::string& stem, const std::string& recipe = "") {
    const fs::path path = model_file(folder_, stem);
    const TensorFile file = read_tensor_file(path);
    ModelConfig config = config_in(folder_, file, path);
    config.recipe = recipe;
    auto model = create_model(config, dtype_);
    load_parameters(file, path.string(), *model);
    return model;
  }

  void check_outputs(const TensorFile& golden, const Batch& batch, const std::string& label) {
    Runner runner(*model_);
    States states = runner.new_states(batch.sequences.count());
    const TensorEntry* logits = golden.find("logits.f64");
    if (!logits) logits = golden.find("logits");
    if (logits) {
      Tensor ours = runner.all_logits(batch.tokens, batch.sequences, states);
      add(label + "logits", largest_difference(to_host(ours), to_doubles(*logits)), tolerances_.logits);
    }
    if (const TensorEntry* loss = golden.find("loss.f64")) {
      states = runner.new_states(batch.sequences.count());
      const double ours = runner.loss(batch.tokens, batch.targets, batch.sequences, states);
      add(label + "loss", largest_difference({ours}, to_doubles(*loss)), tolerances_.loss);
    }
  }

  // The largest difference, relative to the largest element of each tensor or, if the gradient is 0 except
  // for rounding, of all tensors.
  void check_gradients(const TensorFile& golden, const Batch& batch, const std::string& prefix,
                       const std::string& label, bool l2wrap) {
    if (batch.targets.empty()) return;
    model_->parameters().set_trainable(false);
    model_->parameters().set_trainable(true);
    Runner runner(*model_);
    States states = runner.new_states(batch.sequences.count());
    runner.loss_and_gradients(batch.tokens, batch.targets, batch.sequences, states,
                              {.loss = {.l2wrap = l2wrap}});
    double worst = -1, largest = 0;
    std::string worst_name;
    for (const TensorEntry& entry : golden.tensors())
      if (entry.name.starts_with(prefix)) largest = larger(largest, largest_magnitude(to_doubles(entry)));
    for (const Parameter& parameter : model_->parameters()) {
      const TensorEntry* entry = golden.find(prefix + parameter.spec.name);
      if (!entry) continue;
      const Doubles expected = to_doubles(*entry);
      const double own = largest_magnitude(expected), scale = own > rounding ? own : largest;
      const double difference = largest_difference(to_host(parameter.weight.gradient()), expected);
      const double relative = scale > 0 ? difference / scale : difference;
      if (std::isnan(relative) || relative > worst) {
        worst = relative;
        worst_name = parameter.spec.name;
      }
    }
    model_->parameters().set_trainable(false);
    if (!worst_name.empty())
      add(fmt::format("{}gradients (worst: {})", label, worst_name), worst, tolerances_.gradient);
  }

  void check_first_token(const TensorFile& golden, const Batch& batch) {
    const TensorEntry* logits = golden.find("t1.logits.f64");
    if (!logits) return;
    std::vector<int32_t> tokens, targets;
    for (int64_t s = 0; s < batch.sequences.count(); ++s) {
      tokens.push_back(batch.tokens[static_cast<size_t>(batch.sequences.begin(s))]);
      targets.push_back(batch.targets[static_cast<size_t>(batch.sequences.begin(s))]);
    }
    Runner runner(*model_);
    const Sequences one = Sequences::uniform(batch.sequences.count(), 1);
    States states = runner.new_states(one.count());
    Tensor ours = runner.all_logits(tokens, one, states);
    add("one token logits", largest_difference(to_host(ours), to_doubles(*logits)), tolerances_.logits);
    if (const TensorEntry* loss = golden.find("t1.loss.f64")) {
      states = runner.new_states(one.count());
      add("one token loss",
          largest_difference({runner.loss(tokens, targets, one, states)}, to_doubles(*loss)),
          tolerances_.loss);
    }
  }

  // The part of our state for a name of the original runners, such as "0.kv", "xx.att.0" (layer last) or
  // "state" (the whole state).
  Doubles state_part(const States& states, const std::string& name) {
    if (name == "state") return stacked_state(states);
    if (name == "hk") return values_named("head.keys", states);
    const size_t first = name.find('.'), last = name.rfind('.');
    if (first == std::string::npos) return {};
    std::string layer = name.substr(0, first), part = name.substr(first + 1);
    if (!std::isdigit(static_cast<unsigned char>(layer[0]))) {  // model_run: "<kind>.<att|ffn>.<layer>"
      part = name.substr(first + 1, last - first - 1) + "_" + name.substr(0, first);
      layer = name.substr(last + 1);
    }
    const std::map<std::string, std::string> ours = {
        {"att_xx", "att.x"},       {"ffn_xx", "ffn.x"},  {"kv", "att.wkv"},   {"ffnpre_xx", "ffnPre.x"},
        {"ffnPre_xx", "ffnPre.x"}, {"aa", "att.aa"},     {"bb", "att.bb"},    {"pp", "att.pp"},
        {"att_aa", "att.aa"},      {"att_bb", "att.bb"}, {"att_pp", "att.pp"}};
    auto found = ours.find(part);
    return found == ours.end() ? Doubles() : values_named("blocks." + layer + "." + found->second, states);
  }

  Doubles values_named(const std::string& name, const States& states) {
    const std::vector<StateSpec>& specs = model_->state_specs();
    for (size_t i = 0; i < specs.size(); ++i)
      if (specs[i].name == name)
        return specs[i].is_history() ? filled_rows(states, i)
                                     : values_of(stacked(states, i).view(), name.ends_with(".wkv"));
    return {};
  }

  // For a history, the rows of the tokens read so far.
  Doubles filled_rows(const States& states, size_t part) {
    Doubles filled;
    for (const State& state : states) {
      const Doubles all = to_host(state[part]);
      filled.insert(filled.end(), all.begin(), all.begin() + state.position() * state[part].cols());
    }
    return filled;
  }

  // [B, rows, n_embd]: all parts of a layer, then the next layer.
  Doubles stacked_state(const States& states) {
    Doubles stacked;
    for (int64_t s = 0; s < std::ssize(states); ++s)
      for (int64_t layer = 0; layer < model_->config().n_layer; ++layer)
        for (const char* part : {"ffn.x", "att.x", "att.aa", "att.bb", "att.pp", "att.wkv"}) {
          const Doubles values = values_named(fmt::format("blocks.{}.{}", layer, part), states);
          const auto count = static_cast<int64_t>(values.size()) / std::ssize(states);
          stacked.insert(stacked.end(), values.begin() + s * count, values.begin() + (s + 1) * count);
        }
    return stacked;
  }

  // From RWKV-7 on, the originals store [value, key]; ours is [key, value] as for all other versions.
  Doubles values_of(const Tensor& tensor, bool matrix) {
    Doubles values = to_host(tensor);
    const std::string& version = model_->config().version;
    if (!matrix || !(version.starts_with("rwkv7") || version.starts_with("rwkv8"))) return values;
    const int64_t n = tensor.shape()[2];
    Doubles turned(values.size());
    for (int64_t block = 0; block < tensor.count() / (n * n); ++block)
      for (int64_t j = 0; j < n; ++j)
        for (int64_t i = 0; i < n; ++i)
          turned[static_cast<size_t>(block * n * n + i * n + j)] =
              values[static_cast<size_t>(block * n * n + j * n + i)];
    return turned;
  }

  void check_states(const TensorFile& golden, const Batch& batch) {
    Runner runner(*model_);
    States states = runner.new_states(batch.sequences.count());
    runner.last_logits(batch.tokens, batch.sequences, states);
    std::map<std::string, double> worst;  // by implementation
    for (const TensorEntry& entry : golden.tensors()) {
      const size_t at = entry.name.find("state.");
      if (at == std::string::npos) continue;
      const Doubles ours = state_part(states, entry.name.substr(at + 6));
      if (ours.empty()) continue;
      const Doubles expected = to_doubles(entry);
      // The originals ran in float32: their error is proportional to the numbers.
      const double scale = std::max(1.0, largest_magnitude(expected));
      double& value = worst[at == 0 ? "" : entry.name.substr(0, at - 1) + " "];
      value = larger(value, largest_difference(ours, expected) / scale);
    }
    for (const auto& [implementation, difference] : worst)
      add(implementation + "state", difference, tolerances_.state);
  }

  // Token by token with the state, compared with the recurrent implementations.
  void check_single_steps(const TensorFile& golden, const Batch& batch) {
    const int64_t B = batch.sequences.count(), T = batch.sequences.length(0), V = model_->config().vocab_size;
    Runner runner(*model_);
    States states = runner.new_states(B);
    Doubles ours(static_cast<size_t>(B * T * V));
    for (int64_t t = 0; t < T; ++t) {
      std::vector<int32_t> tokens;
      for (int64_t s = 0; s < B; ++s) tokens.push_back(batch.tokens[static_cast<size_t>(s * T + t)]);
      const Doubles row = to_host(runner.all_logits(tokens, Sequences::uniform(B, 1), states));
      for (int64_t s = 0; s < B; ++s) std::copy_n(row.begin() + s * V, V, ours.begin() + (s * T + t) * V);
    }
    for (const TensorEntry& entry : golden.tensors()) {
      const bool other = entry.name.starts_with("t1.") || entry.name.starts_with("bf16params.");
      if (!entry.name.ends_with(".logits") || other) continue;
      add("token by token logits against " + entry.name.substr(0, entry.name.size() - 7),
          largest_difference(ours, to_doubles(entry)), float_tolerances.logits);
    }
  }

  void check_bf16_parameters(const TensorFile& golden, const Batch& batch) {
    const TensorEntry* logits = golden.find("bf16params.logits.f64");
    if (!logits || !fs::exists(folder_ / "model.bf16.pth")) return;
    auto model = load("model.bf16");
    Runner runner(*model);
    States states = runner.new_states(batch.sequences.count());
    Tensor ours = runner.all_logits(batch.tokens, batch.sequences, states);
    add("bf16 parameters, logits", largest_difference(to_host(ours), to_doubles(*logits)),
        tolerances_.logits);
  }

  void check_training(const std::string& file, const std::string& after, const std::string& suffix);

  fs::path folder_;
  Dtype dtype_;
  Tolerances tolerances_;
  std::vector<LawCheck>& checks_;
  std::unique_ptr<Model> model_;
};

// Parameters whose gradient is 0 except for rounding cannot be compared, because Adam scales the rounding
// errors up. This does not apply to gradients that are exactly 0, in a whole tensor or in the rows of tokens
// that did not occur.
void forget_rounded(const Doubles& gradient, Doubles& ours, Doubles& expected) {
  auto rounded = [](double g) { return std::abs(g) <= rounding; };
  if (std::none_of(gradient.begin(), gradient.end(), [&](double g) { return rounded(g) && g != 0; })) return;
  for (size_t i = 0; i < gradient.size(); ++i)
    if (rounded(gradient[i])) ours[i] = expected[i] = 0;
}

// Compares the learning-rate scale and the weight decay of every parameter in train.json with our table.
double group_difference(const Json& train, const Model& model, double weight_decay) {
  double worst = 0;
  for (const Json& group : train["groups"])
    for (const std::string name : group["names"])
      for (const Parameter& parameter : model.parameters())
        if (parameter.spec.name == name) {
          const double decay = parameter.spec.decay ? weight_decay : 0;
          worst = larger(worst, std::abs(parameter.spec.learning_rate_scale - double(group["my_lr_scale"])));
          worst = larger(worst, std::abs(decay - double(group["weight_decay"])));
        }
  return worst;
}

void Checker::check_training(const std::string& file, const std::string& after, const std::string& suffix) {
  if (!fs::exists(folder_ / file)) return;
  const Json train = read_json(folder_ / file);
  const bool original = model_->config().version == "rwkv4" && suffix.empty();
  auto model = load("model", original ? "v4-original" : "");
  const TrainingRecipe recipe = model_version(model->config().version).training(model->config().recipe);
  const TensorFile data = read_tensor_file(folder_ / "train_data.safetensors");
  const TensorEntry *idx = data.find("idx"), *targets = data.find("targets");
  const int64_t steps = idx->shape[0], B = idx->shape[1], T = idx->shape[2];
  const std::vector<int32_t> tokens = tokens_of(*idx), wanted = tokens_of(*targets);
  const std::string label = "training" + suffix + " ";

  std::vector<std::string> trained;
  for (const Json& group : train["groups"])
    trained.insert(trained.end(), group["names"].begin(), group["names"].end());
  Optimizer optimizer(*model,
                      adamw_groups(model->parameters(), {.beta1 = train["betas"][0],
                                                         .beta2 = train["betas"][1],
                                                         .epsilon = train["eps"],
                                                         .weight_decay = recipe.weight_decay,
                                                         .only = trained}),
                      train["grad_clip_norm"]);
  Runner runner(*model);
  double loss_difference = 0, norm_difference = 0;
  for (int64_t step = 0; step < steps; ++step) {
    States states = runner.new_states(B);
    const auto from = static_cast<size_t>(step * B * T), count = static_cast<size_t>(B * T);
    const double loss = runner.loss_and_gradients(
        std::span(tokens).subspan(from, count), std::span(wanted).subspan(from, count),
        Sequences::uniform(B, T), states, {.loss = {.l2wrap = train["l2wrap"]}});
    const double norm = optimizer.step(train["lr"][static_cast<size_t>(step)]);
    loss_difference =
        larger(loss_difference, std::abs(loss - double(train["loss_f64"][static_cast<size_t>(step)])));
    const double wanted_norm = train["grad_norm_before_clip_f64"][static_cast<size_t>(step)];
    norm_difference = larger(norm_difference, std::abs(norm - wanted_norm) / wanted_norm);
  }
  add(label + "parameter groups", group_difference(train, *model, recipe.weight_decay), 0);
  add(label + "loss", loss_difference, 1e-4);
  add(label + "gradient norm, relative", norm_difference, tolerances_.gradient);
  const fs::path last = folder_ / fmt::format("{}{}{}.safetensors", after, steps, suffix);
  if (!fs::exists(last)) return;
  const TensorFile end = read_tensor_file(last);
  const TensorFile golden = read_tensor_file(folder_ / "golden.safetensors");
  double worst = 0;
  for (const Parameter& parameter : model->parameters()) {
    const TensorEntry *entry = end.find(parameter.spec.name),
                      *gradient = golden.find("grad." + parameter.spec.name);
    if (!entry) continue;
    Doubles ours = to_host(parameter.weight.value()), expected = to_doubles(*entry);
    if (gradient) forget_rounded(to_doubles(*gradient), ours, expected);
    worst = larger(worst, largest_difference(ours, expected));
  }
  add(fmt::format("{}parameters after {} steps", label, steps), worst, 1e-4);
}

}  // namespace

std::string golden_version(const fs::path& folder) {
  const fs::path path = model_file(folder, "model");
  return config_in(folder, read_tensor_file(path), path).version;
}

std::vector<LawCheck> check_golden(const fs::path& folder) {
  const TensorFile golden = read_tensor_file(folder / "golden.safetensors");
  if (golden.find("src")) return check_golden_answers(folder, golden);
  std::vector<LawCheck> checks;
  for (Dtype dtype : {Dtype::f32, Dtype::f64}) Checker(folder, dtype, checks).check_all();
  return checks;
}

namespace {

// Mean and standard deviation (of the population).
std::pair<double, double> moments(const Doubles& values) {
  double mean = 0, variance = 0;
  for (double value : values) mean += value / static_cast<double>(values.size());
  for (double value : values)
    variance += (value - mean) * (value - mean) / static_cast<double>(values.size());
  return {mean, std::sqrt(variance)};
}

// The distance of M M^T (on the smaller side) from gain^2 I: 0 if all singular values equal the gain.
double distance_from_orthogonal(const Tensor& matrix, double gain) {
  const Doubles values = to_host(matrix);
  const int64_t rows = matrix.rows(), cols = matrix.cols(), thin = std::min(rows, cols),
                tall = std::max(rows, cols);
  auto at = [&](int64_t t, int64_t k) {
    return values[static_cast<size_t>(rows <= cols ? t * cols + k : k * cols + t)];
  };
  double worst = 0;
  for (int64_t a = 0; a < thin; ++a)
    for (int64_t b = 0; b <= a; ++b) {
      double dot = 0;
      for (int64_t k = 0; k < tall; ++k) dot += at(a, k) * at(b, k);
      worst = larger(worst, std::abs(dot - (a == b ? gain * gain : 0)));
    }
  return worst;
}

}  // namespace

std::vector<LawCheck> check_golden_initialization(const fs::path& file, const std::string& recipe) {
  const Json statistics = read_json(file);
  ShapeMap shapes;
  for (const Json& parameter : statistics["params"]) {
    Shape shape;
    for (int64_t size : parameter["shape"]) shape.append(size);
    shapes.emplace_back(parameter["name"], shape);
  }
  ModelConfig config = recognize_version(shapes, file.string());
  config.recipe = recipe;
  auto model = create_model(config);
  model->parameters().initialize(1);
  std::vector<LawCheck> checks;
  for (const Json& expected : statistics["params"]) {
    const std::string name = expected["name"];
    if (model_version(config.version).is_buffer(name)) continue;
    Parameter* parameter = model->parameters().find(name);
    require(parameter != nullptr, "{}: the model has no parameter {}", file.string(), name);
    const Tensor& value = parameter->weight.value();
    const Doubles ours = to_host(value);
    if (expected.contains("constant")) {
      checks.push_back({name, largest_difference(ours, Doubles(ours.size(), expected["constant"])), 1e-6});
    } else if (expected.contains("values")) {
      checks.push_back({name, largest_difference(ours, expected["values"].get<Doubles>()), 2e-6});
    } else {
      // Random values: mean and standard deviation, within five standard errors; and the singular values.
      const auto [mean, deviation] = moments(ours);
      const double spread = expected["std"], error = 5 / std::sqrt(static_cast<double>(ours.size()));
      checks.push_back({name + " mean", std::abs(mean - double(expected["mean"])), spread * 1.5 * error});
      checks.push_back({name + " deviation", std::abs(deviation - spread), spread * error});
      if (!expected.contains("singular_values_min_max")) continue;
      const double low = expected["singular_values_min_max"][0],
                   high = expected["singular_values_min_max"][1];
      const bool uniform = double(expected["max"]) < 2 * spread;
      if (high - low < 1e-3 * high)
        checks.push_back(
            {name + " orthogonality", distance_from_orthogonal(value, high), 1e-5 * high * high + 1e-9});
      else if (uniform)
        checks.push_back(
            {name + " bound", std::abs(largest_magnitude(ours) - double(expected["max"])), 0.05 * spread});
    }
  }
  return checks;
}

}  // namespace aviary
