// The only file that includes Eigen, which is slow to compile.
#include "models/orthonormal.h"

#include <Eigen/Eigenvalues>
#include <Eigen/QR>

namespace aviary {

void orthonormalize(std::vector<double>& a, int64_t rows, int64_t cols) {
  Eigen::Map<Eigen::MatrixXd> matrix(a.data(), rows, cols);
  const Eigen::HouseholderQR<Eigen::Ref<Eigen::MatrixXd>> qr(matrix);  // in place: Q's reflections and R
  const Eigen::VectorXd diagonal = qr.matrixQR().diagonal();
  Eigen::MatrixXd q = qr.householderQ() * Eigen::MatrixXd::Identity(rows, cols);
  for (int64_t c = 0; c < cols; ++c)
    if (diagonal(c) < 0) q.col(c) = -q.col(c);
  matrix = q;
}

std::vector<double> diagonalize(std::vector<double>& a, int64_t size) {
  Eigen::Map<Eigen::MatrixXd> matrix(a.data(), size, size);
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver(matrix);  // rising values
  matrix = solver.eigenvectors().rowwise().reverse();
  std::vector<double> values(static_cast<size_t>(size));
  Eigen::Map<Eigen::VectorXd>(values.data(), size) = solver.eigenvalues().reverse();
  return values;
}

}  // namespace aviary
