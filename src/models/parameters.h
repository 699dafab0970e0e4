// The one table of a model's parameters: names, shapes, initialization, optimizer groups. Allocation,
// loading, saving, training and inspection all go through it.
#pragma once

#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/random.h"
#include "ops/weight.h"

namespace aviary {

// Fills a weight for the start of training.
using Initializer = std::function<void(Random&, const Tensor&)>;

namespace init {
Initializer constant(double value);
Initializer uniform(double bound);  // in [-bound, bound)
Initializer normal(double deviation);
// Rows or columns orthonormal, times gain (Saxe, McClelland, Ganguli 2013, arXiv 1312.6120).
Initializer orthogonal(double gain);
// value(i) for element i of a vector.
Initializer each(std::function<double(int64_t)> value);
}  // namespace init

// What operators do with the numbers of a parameter.
enum class Use : uint8_t {
  vector,  // read number by number, whatever the axes
  table,   // [V, ...]: the row of a token is looked up
  out_in,  // the matrix of products y = x W^T, as torch.nn.Linear stores it
  in_out,  // the matrix of products y = x W, as low-rank projections are stored
  stack,   // [B, K, M]: matrices of products y = x W, each for its own columns of x
};

// How the matrix, or each matrix of the stack, is laid out; nothing for what is not multiplied.
std::optional<Layout> layout_of(Use use);

struct ParameterSpec {
  std::string name;  // the name in the original checkpoints
  Use use;
  Shape shape;
  Initializer initialize;
  bool decay = false;  // weight decay applies
  double learning_rate_scale = 1;
  bool optional = false;  // a file may lack it
  bool constant = false;  // stored, but never trained
};

struct Parameter {
  ParameterSpec spec;
  Weight weight;
};

class ParameterTable {
 public:
  explicit ParameterTable(Dtype dtype) : dtype_(dtype) {}

  // Without numbers yet. The returned weight stays where it is for the life of the table.
  Weight& add(ParameterSpec spec);
  Parameter* find(std::string_view name);

  auto begin() { return parameters_.begin(); }
  auto end() { return parameters_.end(); }
  auto begin() const { return parameters_.begin(); }
  auto end() const { return parameters_.end(); }
  int64_t count() const;  // of numbers, all parameters together
  Dtype dtype() const { return dtype_; }

  // Values for the start of training: parameter i draws from its own stream of `seed`.
  void initialize(uint64_t seed);
  void set_trainable(bool trainable);  // of those whose numbers may change
  // Every parameter that was made without numbers gets zeros.
  void allocate();
  // Packs all that is multiplied for products whose float32 numbers are rounded to `precision`. From then on
  // the numbers change no more, and threads may run the model at once, each with a Runner of its own.
  // before: called with each parameter that has numbers, before it is packed; released: with stored bytes
  // that are hardly needed again. Throws Error when it was called for another precision.
  void pack(kernels::Precision precision, const std::function<void(const Parameter&)>& before = {},
            const Released& released = {});
  // What pack() was called for; nothing when it was not.
  std::optional<kernels::Precision> packed_for() const { return packed_for_; }
  // To be called after values have been written from outside.
  void changed();

 private:
  Dtype dtype_;
  std::deque<Parameter> parameters_;
  std::optional<kernels::Precision> packed_for_;
};

}  // namespace aviary
