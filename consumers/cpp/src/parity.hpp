#pragma once

#include <optional>
#include <string>
#include <vector>

#include "ganport/tensor.hpp"

namespace ganport {

/// Limits on the errors of one output; what is not set is not judged. In levels where the output is of whole numbers.
struct Gate {
  std::optional<double> max_abs;
  std::optional<double> p99_9;
  std::optional<double> psnr_db;
};

/// Errors of one output against the expected one, over all of its elements, in the unit that it was measured in.
struct Metrics {
  /// Infinite where a value is not finite.
  double max_abs = 0;
  double p99_9 = 0;
  /// Infinite when equal; the peak is 1, of whole numbers the type's largest.
  double psnr_db = 0;
  /// NaN and infinite values.
  std::size_t non_finite = 0;
};

/// The largest magnitude of an output of floats, at least 0.05; 1 of whole numbers.
double unit_of(const Tensor& expected);

/// Measure `actual` against `expected`, of one dtype and shape and not empty, in float64 arithmetic; errors are divided
/// by `unit`.
Metrics measure(const Tensor& actual, const Tensor& expected, double unit = 1);

/// A sentence for each limit that is passed; values that are not finite are one too.
std::vector<std::string> find_misses(const Metrics& metrics, const Gate& gate);

/// "2.2e-06".
std::string format_error(double value);

}  // namespace ganport
