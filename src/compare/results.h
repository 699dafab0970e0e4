// The results of all members of a comparison, finished or not, and the report and tables made from them.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "compare/ledger.h"
#include "compare/measure.h"
#include "compare/member.h"
#include "models/cost.h"
#include "models/registry.h"
#include "train/trainer.h"

namespace aviary {

struct MemberResult {
  Member member;
  TrainConfig config;  // of its run
  MemberPlan plan;
  TokenCost cost;
  std::vector<StepReport> log;
  std::optional<Measures> measures;  // if it is finished
  std::string failure = {};          // why training failed

  const ModelVersion& version() const { return model_version(config.model.version); }
  int64_t tokens() const;                     // trained on
  double seconds() const;                     // of all steps
  double tokens_per_second() const;           // from the median of the steps
  double training_loss() const;               // nats per token, mean of the last twentieth of the steps
  double validation_bits_per_byte() const;    // the last one measured; NaN without one
  int64_t state_bytes(int64_t tokens) const;  // of one sequence that has read this many tokens
};

struct ComparisonResult {
  TrainConfig shared;  // the settings of all
  int64_t steps = 0;
  bool own_recipes = false;
  std::string text_name;
  int64_t train_bytes = 0, train_tokens = 0, validation_bytes = 0, validation_tokens = 0;
  std::vector<MemberResult> members;
};

// A self-contained HTML page with light and dark themes, without scripts.
std::string page_of(const ComparisonResult& result);
// The same numbers for other programs: members.csv, loss.csv, validation.csv, positions.csv by name.
std::vector<std::pair<std::string, std::string>> tables_of(const ComparisonResult& result);

// ---- The figures, as SVG.

std::string tokens_figure(const ComparisonResult& result);
std::string time_figure(const ComparisonResult& result);
std::string validation_figure(const ComparisonResult& result);
std::string position_figure(const ComparisonResult& result);
// The color of each member in all figures: as in the figure in the README of RWKV-LM (MHA gray, MHA with
// token shift green, MHA_pro blue, RWKV red), and other colors for the rest.
std::vector<std::string> colors_of(const std::vector<MemberResult>& members);

}  // namespace aviary
