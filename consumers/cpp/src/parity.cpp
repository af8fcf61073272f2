#include "parity.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

#include "ganport/error.hpp"

namespace ganport {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

struct Errors {
  std::vector<double> absolute;
  double peak;
  std::size_t non_finite = 0;
};

template <typename T>
Errors list_errors(const Tensor& actual, const Tensor& expected) {
  const std::size_t count = actual.bytes.size() / sizeof(T);
  const T *ours = actual.as<T>(), *theirs = expected.as<T>();
  Errors errors{std::vector<double>(count), 1};
  if constexpr (std::numeric_limits<T>::is_integer) errors.peak = std::numeric_limits<T>::max();
  for (std::size_t i = 0; i < count; ++i) {
    const double one = static_cast<double>(ours[i]), other = static_cast<double>(theirs[i]);
    const double error = std::fabs(one - other);
    // A NaN is no small error, and equal infinities are none to be had: their difference is NaN as well.
    errors.absolute[i] = std::isnan(error) ? infinity : error;
    errors.non_finite += !std::isfinite(one);
  }
  return errors;
}

Errors list_errors_of_any(const Tensor& actual, const Tensor& expected) {
  switch (actual.dtype) {
    case DataType::float32:
      return list_errors<float>(actual, expected);
    case DataType::uint8:
      return list_errors<std::uint8_t>(actual, expected);
    case DataType::int8:
      return list_errors<std::int8_t>(actual, expected);
  }
  throw Error("parity", "an output is of no known element type", "Convert its source again");
}

std::string format(const char* form, double value) {
  char text[64];
  std::snprintf(text, sizeof text, form, value);
  return text;
}

}  // namespace

// Small outputs are rounded as the numbers near 1 are that they are computed from.
constexpr double smallest_unit = 0.05;

double unit_of(const Tensor& expected) {
  if (expected.dtype != DataType::float32) return 1;
  double unit = smallest_unit;
  const float* values = expected.as<float>();
  for (std::size_t i = 0; i < expected.bytes.size() / sizeof(float); ++i) {
    const double magnitude = std::fabs(static_cast<double>(values[i]));
    if (std::isfinite(magnitude)) unit = std::max(unit, magnitude);
  }
  return unit;
}

Metrics measure(const Tensor& actual, const Tensor& expected, double unit) {
  if (actual.dtype != expected.dtype || actual.bytes.size() != expected.bytes.size() || actual.bytes.empty()) {
    throw Error("parity", "two arrays of different kinds, or empty ones, cannot be compared", "Compare like with like");
  }
  Errors errors = list_errors_of_any(actual, expected);
  for (double& error : errors.absolute) error /= unit;
  double squared = 0;
  for (const double error : errors.absolute) squared += (error / errors.peak) * (error / errors.peak);
  squared /= static_cast<double>(errors.absolute.size());

  auto& sorted = errors.absolute;
  std::sort(sorted.begin(), sorted.end());
  const auto rank = static_cast<std::size_t>(std::ceil(0.999 * static_cast<double>(sorted.size())));
  return {sorted.back(), sorted[rank - 1], -10 * std::log10(squared), errors.non_finite};
}

std::vector<std::string> find_misses(const Metrics& metrics, const Gate& gate) {
  std::vector<std::string> misses;
  if (metrics.non_finite > 0) misses.push_back(std::to_string(metrics.non_finite) + " values are NaN or infinite");
  // "Not within" instead of "beyond", so that a NaN is a miss.
  if (gate.max_abs && !(metrics.max_abs <= *gate.max_abs)) {
    misses.push_back("max abs error " + format_error(metrics.max_abs) + ", allowed " + format_error(*gate.max_abs));
  }
  if (gate.p99_9 && !(metrics.p99_9 <= *gate.p99_9)) {
    misses.push_back("99.9th percentile " + format_error(metrics.p99_9) + ", allowed " + format_error(*gate.p99_9));
  }
  if (gate.psnr_db && !(metrics.psnr_db >= *gate.psnr_db)) {
    misses.push_back("PSNR " + format("%.1f", metrics.psnr_db) + " dB, required " + format("%.0f", *gate.psnr_db));
  }
  return misses;
}

std::string format_error(double value) { return format("%.1e", value); }

}  // namespace ganport
