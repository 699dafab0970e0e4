#include "train/principal.h"

#include <algorithm>
#include <cmath>

#include "models/orthonormal.h"
#include "ops/ops.h"

namespace aviary {
namespace {

using Rows = std::vector<double>;  // [directions, n]

constexpr int64_t spare = 8;  // more directions than are wanted: the last ones converge slowly
constexpr int iterations = 4;

// Products of rows with W, through the operator and its gradient.
class Products {
 public:
  Products(Weight& weight, kernels::Precision precision, int64_t directions)
      : weight_(weight), precision_(precision), directions_(directions) {}

  Rows with_transpose(const Rows& x) { return run(x, nullptr); }  // x W^T [directions, out]
  Rows with_itself(const Rows& y) {                               // y W [directions, in]
    return run(Rows(static_cast<size_t>(directions_ * weight_.shape()[1])), &y);
  }

 private:
  Rows run(const Rows& x, const Rows* dy) {
    Arena arena;
    Tape tape(arena);
    const Sequences sequences = Sequences::uniform(1, directions_);
    Context c{arena, sequences, precision_, &tape};
    const Var in = c.result({directions_, weight_.shape()[1]}, weight_.dtype());
    from_host(x, in.value);
    const Var out = linear(c, in, weight_);
    if (!dy) return to_host(out.value);
    const Tensor gradient = arena.tensor(out.shape(), out.dtype());
    from_host(*dy, gradient);
    tape.seed(out, gradient);
    tape.backward();
    return to_host(tape.gradient(in));
  }

  Weight& weight_;
  kernels::Precision precision_;
  int64_t directions_;
};

// An orthonormal basis of the rows.
Rows basis_of(Rows rows, int64_t directions) {
  orthonormalize(rows, std::ssize(rows) / directions, directions);  // its columns are our rows
  return rows;
}

}  // namespace

PrincipalPart principal_part(Weight& weight, int64_t rank, kernels::Precision precision, Random random) {
  const int64_t out = weight.shape()[0], in = weight.shape()[1];
  const int64_t directions = std::min({rank + spare, in, out});
  Products products(weight, precision, directions);
  Rows rows(static_cast<size_t>(directions * in));
  for (double& number : rows) number = random.normal();
  Rows basis = basis_of(products.with_transpose(rows), directions);
  for (int i = 0; i < iterations; ++i)
    basis = basis_of(products.with_transpose(basis_of(products.with_itself(basis), directions)), directions);
  const Rows m = products.with_itself(basis);  // W seen in the basis
  Rows vectors(static_cast<size_t>(directions * directions));
  for (int64_t i = 0; i < directions; ++i)
    for (int64_t j = 0; j < directions; ++j)
      for (int64_t k = 0; k < in; ++k)
        vectors[static_cast<size_t>(i * directions + j)] +=
            m[static_cast<size_t>(i * in + k)] * m[static_cast<size_t>(j * in + k)];
  const std::vector<double> squares = diagonalize(vectors, directions);
  Rows a(static_cast<size_t>(rank * in)), b(static_cast<size_t>(out * rank));
  for (int64_t r = 0; r < rank; ++r) {
    const double root = std::sqrt(std::sqrt(std::max(squares[static_cast<size_t>(r)], 1e-30)));
    for (int64_t d = 0; d < directions; ++d) {
      const double u = vectors[static_cast<size_t>(r * directions + d)];
      for (int64_t k = 0; k < in; ++k)
        a[static_cast<size_t>(r * in + k)] += u * m[static_cast<size_t>(d * in + k)] / root;
      for (int64_t o = 0; o < out; ++o)
        b[static_cast<size_t>(o * rank + r)] += u * basis[static_cast<size_t>(d * out + o)] * root;
    }
  }
  PrincipalPart part{OwnedTensor({rank, in}, weight.dtype()), OwnedTensor({out, rank}, weight.dtype())};
  from_host(a, part.a.view());
  from_host(b, part.b.view());
  return part;
}

}  // namespace aviary
