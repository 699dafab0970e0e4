// log.jsonl and samples.jsonl of a run, with one JSON object per line, and the loss curve.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "train/trainer.h"

namespace aviary {

// The steps in the log of a run, up to `steps_done`; none if there is no log.
std::vector<StepReport> read_log(const std::filesystem::path& folder, int64_t steps_done = INT64_MAX);

class RunLog {
 public:
  // Reads the log of the folder, if any, without the steps after `steps_done`, which will be repeated.
  RunLog(const std::filesystem::path& folder, int64_t steps_done);

  // Removes those steps from the file. Throws Error if it cannot be written.
  void drop_repeated();
  // Appends one line to the file; layer_norms (Optimizer::layer_norms()) are written, in the order of the
  // model, after the first and every tenth step. Throws Error if it cannot be written; reports() has the step
  // all the same, and the next line is tried again.
  void add(const StepReport& report, int64_t tokens_per_step, std::span<const double> layer_norms = {});
  const std::vector<StepReport>& reports() const { return reports_; }
  // Appends what the model writes after so many steps to samples.jsonl. Throws Error if it cannot be written.
  void add_sample(int64_t step, const std::string& text) const;

  // Writes loss.svg: training loss (smoothed) and validation, in bits per byte.
  void draw(double bits_per_byte_of_a_nat) const;

 private:
  std::filesystem::path folder_;
  std::vector<StepReport> reports_;
  std::string kept_;   // the lines of the file that stay
  bool torn_ = false;  // a line may have been written in part
};

}  // namespace aviary
