// What a run trains: parameters of its model, adapters beside its matrices, the state that texts begin with.
#pragma once

#include <deque>
#include <memory>
#include <vector>

#include "checkpoints/adapter_file.h"
#include "models/run.h"
#include "train/config.h"
#include "train/muon.h"
#include "train/update_rule.h"

namespace aviary {

class TrainedParts {
 public:
  // Adds adapters to the model, which must outlive it. Throws Error if a pattern of the config fits nothing,
  // and for a method that the version cannot have.
  TrainedParts(Model& model, const TrainConfig& config);

  // Parameters of the model.
  const std::vector<TrainedWeight>& parameters() const { return parameters_; }
  // All that is trained, for an Optimizer.
  std::vector<ParameterGroup> groups();
  // From now on the rules have the betas, momentum and epsilon of this config, which otherwise is that of the
  // constructor. (Groups are given to the Optimizer once.)
  void set_rules(const TrainConfig& config);

  // ---- The first state: with TuneMethod::state.

  bool has_first_state() const { return !first_state_.empty(); }
  // Resets a state to the one that texts begin with.
  void begin(State& state) const;
  // After Runner::loss_and_gradients with `first_state`: adds the gradients by the states of the sequences
  // that began fresh.
  void add_state_gradients(const Runner& runner, const std::vector<bool>& fresh);
  // After each step: puts numbers that left their range back (WhenTuned::trained_not_negative).
  void restrain();

  // ---- Adapters: with TuneMethod::lora, pissa, miss.

  // In the form of files, where B A is added alpha / rank times.
  std::vector<AdapterMatrix> matrices() const;

 private:
  struct Pair {
    std::string of;  // the parameter
    std::shared_ptr<Adapter> adapter;
    std::shared_ptr<Adapter> start;  // PiSSA: what the adapter began with, times -1; not trained
    ParameterSpec a, b;
  };
  struct FirstState {
    size_t part;  // of the state
    bool not_negative;
    Parameter values;
  };

  void add_parameters(Model& model, const TrainConfig& config);
  void add_adapters(Model& model, const TrainConfig& config);
  void begin(Pair& pair, Weight& weight, kernels::Precision precision, Random random);
  void add_first_state(Model& model);

  TuneMethod method_;
  OptimizerKind optimizer_;
  std::string muon_of_;
  double muon_rate_;
  std::shared_ptr<AdamW> adamw_;
  std::shared_ptr<Lion> lion_;
  std::shared_ptr<Muon> muon_;
  double weight_decay_;
  std::vector<TrainedWeight> parameters_;
  double scale_ = 1;  // of B A
  std::deque<Pair> pairs_;
  std::deque<FirstState> first_state_;
  std::vector<size_t> zero_parts_;  // of the state: WhenTuned::zero
};

}  // namespace aviary
