#include "embed/linear_algebra.h"

#include <Eigen/Eigenvalues>
#include <algorithm>

namespace aviary {

using Rows = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

Directions principal_directions(const std::vector<double>& centered, int64_t rows, int64_t width,
                                int64_t most) {
  const Eigen::Map<const Rows> x(centered.data(), rows, width);
  const bool wide = width > rows;
  const auto count = static_cast<double>(rows);
  Eigen::MatrixXd products = Eigen::MatrixXd::Zero(std::min(rows, width), std::min(rows, width));
  products.selfadjointView<Eigen::Lower>().rankUpdate(wide ? Eigen::MatrixXd(x)
                                                           : Eigen::MatrixXd(x.transpose()));
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver(products);  // rising values; reads Lower
  const int64_t kept = std::min(most, std::min(rows - 1, width));
  Rows vectors = solver.eigenvectors().rightCols(kept).transpose().colwise().reverse();
  if (wide) vectors = vectors * x;
  Directions found;
  for (int64_t k = 0; k < kept; ++k) {
    auto row = vectors.row(k);
    const double length = row.norm();
    if (length > 0) row /= length;
    Eigen::Index largest = 0;
    row.cwiseAbs().maxCoeff(&largest);
    if (row(largest) < 0) row = -row;
    found.variances.push_back(solver.eigenvalues()(solver.eigenvalues().size() - 1 - k) / count);
  }
  found.vectors.assign(vectors.data(), vectors.data() + vectors.size());
  return found;
}

}  // namespace aviary
