// The loss over the steps of a run, read from its log.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "schedule/rates.h"

namespace aviary {

struct LossPoint {
  double step = 0, loss = 0;  // nats per token
};

struct LossCurve {
  std::string name;
  std::vector<LossPoint> points;  // steps increase
  RateCurve rates;

  // Means over parts of the run, at most `most` of them.
  std::vector<LossPoint> thinned(double from_step, size_t most) const;
  // What is compared with a law: all points, but means over 200 parts if every step has its own, since the
  // loss of one batch is mostly noise.
  std::vector<LossPoint> smooth(double from_step) const;
};

// The curve of the bytes of a file: lines of JSON with "step", "loss" and "learning_rate" (log.jsonl of a
// run; lines without a loss are left out), or CSV whose first line names the columns step, lr and loss. The
// learning rate before the first step of the file is taken to rise linearly from 0. Throws Error beginning
// with `name` (with the line, if one is wrong) for anything else, for steps that do not increase, and for
// fewer than 20 points.
LossCurve read_loss_curve(std::string_view bytes, const std::string& name);

// The same of a file, or of log.jsonl in the folder of a run.
LossCurve load_loss_curve(const std::filesystem::path& path);

}  // namespace aviary
