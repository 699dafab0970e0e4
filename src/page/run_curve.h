// The log of a training run for the page: read as it grows, and told in as many points as a picture has.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace aviary {

enum class CurveAxis : uint8_t { step, tokens, time };

struct CurveQuery {
  CurveAxis axis = CurveAxis::step;
  bool log_axis = false;    // the points have equal distances of log x
  double from = 0, to = 0;  // of the axis; to <= from: all
  int64_t points = 1000;
  double smooth =
      0;  // steps after which the weight of a step in the smoothed loss has fallen to 1/e; 0: none
};

// A point stands for the steps of one part of the axis.
struct CurvePoint {
  double x = 0;  // of the last of these steps
  int64_t step = 0;
  double loss = 0, least = 0, most = 0;  // nats per token: mean, and range; NaN if no step has a number
  double smooth = 0;                     // of the last step
  double learning_rate = 0;
  double gradient_norm = 0;      // the mean; NaN if no step has a number
  double tokens_per_second = 0;  // NaN if it is unknown
};

struct Validation {
  int64_t step = 0;
  double x = 0;
  double bits_per_byte = 0;
};

struct Curve {
  std::vector<CurvePoint> points = {};
  std::vector<Validation> validations = {};  // all of them
  double first = 0, last = 0;                // of the axis
  int64_t steps = 0;                         // lines of the log that have been read
  int64_t broken = 0;                        // lines that are no step
  double seconds = 0;                        // of all steps
  int64_t tokens = 0;                        // of the last step
  int64_t last_step = 0;
  double last_loss = 0;
  double recent_tokens_per_second = 0;  // over the last steps
};

// Norms of the gradient by layer, where the log has them. A column stands for the steps of one part of the
// axis.
struct LayerNorms {
  int64_t rows = 0;  // what is before the blocks, each block, what is after them; 0: there are none
  std::vector<int64_t> step = {};  // the last one of each column
  std::vector<double> x = {};      // of that step
  std::vector<double> norms = {};  // [columns, rows]: means; NaN if no step has a number
};

// Not thread-safe.
class RunCurve {
 public:
  explicit RunCurve(std::filesystem::path file) : file_(std::move(file)) {}

  // Reads what was added to the file, at most `bytes` of it; a file that was written anew is read from its
  // beginning. Returns which share of it is known. A missing file has no lines.
  double read_on(int64_t bytes);
  Curve curve(const CurveQuery& query) const;
  LayerNorms layer_norms(const CurveQuery& query) const;

 private:
  void take(std::string_view line);
  void take_norms(const std::vector<float>& norms);
  std::pair<double, double> extent(CurveAxis axis) const;
  void forget();
  double x_of(size_t i, CurveAxis axis) const;

  std::filesystem::path file_;
  int64_t read_ = 0;         // bytes, to the end of a line
  std::string before_ = {};  // the last bytes that were read: they tell whether the file is still the same
  bool skipping_ = false;    // within a line that is too long
  int64_t broken_ = 0;
  std::vector<int64_t> step_;
  std::vector<double> tokens_, time_;  // time: seconds since the beginning, without pauses
  std::vector<float> loss_, learning_rate_, gradient_norm_, seconds_;
  std::vector<std::pair<size_t, double>> validations_;  // line, bits per byte
  std::vector<size_t> norm_lines_;
  size_t norm_rows_ = 0;
  std::vector<float> norms_;  // norm_rows_ of each of these lines
};

}  // namespace aviary
