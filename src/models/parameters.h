// The parameter table of a model: names, shapes, initialization, optimizer groups. Allocation, loading,
// saving, training and inspection all use it.
#pragma once

#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/random.h"
#include "ops/weight.h"

namespace aviary {

// Initializes a weight for training.
using Initializer = std::function<void(Random&, const Tensor&)>;

namespace init {
Initializer constant(double value);
Initializer uniform(double bound);  // in [-bound, bound)
Initializer normal(double deviation);
// Orthonormal rows or columns, times gain (Saxe, McClelland, Ganguli 2013, arXiv 1312.6120).
Initializer orthogonal(double gain);
// value(i) for element i of a vector.
Initializer each(std::function<double(int64_t)> value);
}  // namespace init

// How operators use a parameter.
enum class Use : uint8_t {
  vector,  // used elementwise, regardless of its axes
  table,   // [V, ...]: the row of a token is looked up
  out_in,  // the matrix of products y = x W^T, as torch.nn.Linear stores it
  in_out,  // the matrix of products y = x W, as low-rank projections are stored
  stack,   // [B, K, M]: matrices of products y = x W, each for separate columns of x
};

// The layout of the matrix, or of each matrix of the stack; nothing for parameters that are not used in
// products.
std::optional<Layout> layout_of(Use use);

struct ParameterSpec {
  std::string name;  // the name in the original checkpoints
  Use use;
  Shape shape;
  Initializer initialize;
  bool decay = false;  // weight decay applies
  double learning_rate_scale = 1;
  bool optional = false;  // may be missing in a file
  bool constant = false;  // stored, but never trained
  int64_t parts = 1;      // matrices of equal width beside each other, each with a meaning of its own
};

struct Parameter {
  ParameterSpec spec;
  Weight weight;
};

class ParameterTable {
 public:
  explicit ParameterTable(Dtype dtype) : dtype_(dtype) {}

  // Without numbers yet. The address of the returned weight is valid as long as the table.
  Weight& add(ParameterSpec spec);
  Parameter* find(std::string_view name);

  auto begin() { return parameters_.begin(); }
  auto end() { return parameters_.end(); }
  auto begin() const { return parameters_.begin(); }
  auto end() const { return parameters_.end(); }
  int64_t count() const;  // total number of elements
  Dtype dtype() const { return dtype_; }

  // Initializes all parameters for training: parameter i uses its own random stream of `seed`.
  void initialize(uint64_t seed);
  void set_trainable(bool trainable);  // of parameters whose numbers can change
  // Sets every parameter without numbers to zeros.
  void allocate();
  // Packs all matrices for products that round float32 numbers to `precision`. Afterwards the numbers no
  // longer change, and several threads may run the model at the same time, each with its own Runner. before:
  // called with each parameter that has numbers, before it is packed; released: called with stored bytes that
  // will hardly be needed again. Throws Error if already packed for another precision.
  void pack(kernels::Precision precision, const std::function<void(const Parameter&)>& before = {},
            const Released& released = {});
  // The precision for which pack() was called; nothing if it was not.
  std::optional<kernels::Precision> packed_for() const { return packed_for_; }
  // To be called after values have been modified from outside.
  void changed();

 private:
  Dtype dtype_;
  std::deque<Parameter> parameters_;
  std::unordered_map<std::string_view, Parameter*> by_name_;  // names in parameters_
  std::optional<kernels::Precision> packed_for_;
};

}  // namespace aviary
