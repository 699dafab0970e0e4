// Layer norm (Ba, Kiros, Hinton 2016, arXiv 1607.06450) over the columns of each row.
//   n = (x - mean) rstd,  y = n weight + bias
//   g = dy weight,  dx = rstd (g - mean(g) - n mean(g n)),  dweight = sum dy n,  dbias = sum dy
#include <cmath>

#include "ops/ops.h"

namespace aviary {
namespace {

struct RowStatistics {
  double mean, rstd;
};

RowStatistics statistics(const double* x, int64_t cols, double epsilon) {
  double mean = 0, variance = 0;
  for (int64_t i = 0; i < cols; ++i) mean += x[i];
  mean /= static_cast<double>(cols);
  for (int64_t i = 0; i < cols; ++i) variance += (x[i] - mean) * (x[i] - mean);
  return {mean, 1 / std::sqrt(variance / static_cast<double>(cols) + epsilon)};
}

void reference(const double* x, const double* weight, const double* bias, double epsilon, int64_t rows,
               int64_t cols, double* y) {
  for (int64_t row = 0; row < rows; ++row, x += cols, y += cols) {
    auto [mean, rstd] = statistics(x, cols, epsilon);
    for (int64_t i = 0; i < cols; ++i) y[i] = (x[i] - mean) * rstd * weight[i] + bias[i];
  }
}

void reference_backward(const double* dy, const double* x, const double* weight, double epsilon, int64_t rows,
                        int64_t cols, double* dx, double* dweight, double* dbias) {
  for (int64_t row = 0; row < rows; ++row, x += cols, dy += cols) {
    auto [mean, rstd] = statistics(x, cols, epsilon);
    double sum_g = 0, sum_gn = 0;
    for (int64_t i = 0; i < cols; ++i) {
      const double n = (x[i] - mean) * rstd, g = dy[i] * weight[i];
      sum_g += g;
      sum_gn += g * n;
      if (dweight) dweight[i] += dy[i] * n;
      if (dbias) dbias[i] += dy[i];
    }
    if (!dx) continue;
    const double count = static_cast<double>(cols);
    for (int64_t i = 0; i < cols; ++i) {
      const double n = (x[i] - mean) * rstd, g = dy[i] * weight[i];
      dx[row * cols + i] += rstd * (g - sum_g / count - n * sum_gn / count);
    }
  }
}

}  // namespace

Var layer_norm(Context& c, const Var& x, Weight& weight, Weight& bias, double epsilon) {
  const int64_t rows = x.rows(), cols = x.cols();
  require_count("layer_norm", "weight", weight.value(), cols);
  require_count("layer_norm", "bias", bias.value(), cols);
  Var y = c.result_like(x);
  Tensor mean, rstd;
  if (x.dtype() == Dtype::f64) {
    reference(x.value.as<double>(), weight.value().as<double>(), bias.value().as<double>(), epsilon, rows,
              cols, y.value.as<double>());
  } else {
    mean = c.arena.tensor({rows}, Dtype::f32);
    rstd = c.arena.tensor({rows}, Dtype::f32);
    kernels::layer_norm(x.value.as<float>(), weight.value().as<float>(), bias.value().as<float>(),
                        static_cast<float>(epsilon), rows, cols, y.value.as<float>(), mean.as<float>(),
                        rstd.as<float>());
  }
  if (!c.tape) return y;
  c.tape->record({y}, [=, &weight, &bias](Tape& tape) {
    Tensor dy = tape.gradient(y), dx = tape.gradient(x);
    if (x.dtype() == Dtype::f64) {
      reference_backward(dy.as<double>(), x.value.as<double>(), weight.value().as<double>(), epsilon, rows,
                         cols, dx.as<double>(), weight.gradient().as<double>(), bias.gradient().as<double>());
      return;
    }
    Tensor scratch = tape.scratch({kernels::row_blocks, 2, cols}, Dtype::f32);
    kernels::layer_norm_backward(dy.as<float>(), x.value.as<float>(), weight.value().as<float>(),
                                 mean.as<float>(), rstd.as<float>(), rows, cols, dx.as<float>(),
                                 weight.gradient().as<float>(), bias.gradient().as<float>(),
                                 scratch.as<float>());
    tape.release(scratch);
  });
  return y;
}

}  // namespace aviary
