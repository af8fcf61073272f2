#include "parity.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <type_traits>

#include "ganport/error.hpp"

namespace ganport {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

struct Errors {
  std::vector<double> absolute;
  double peak;
  std::size_t non_finite = 0;
};

bool is_float(DataType dtype) {
  return dtype == DataType::float32 || dtype == DataType::float16 || dtype == DataType::float64;
}

/// Two bytes of IEEE 754: a sign, five bits of exponent, ten of fraction.
double read_half(std::uint16_t bits) {
  const int exponent = bits >> 10U & 0x1FU, fraction = bits & 0x3FFU;
  const double size = exponent == 0x1F ? (fraction != 0 ? std::numeric_limits<double>::quiet_NaN() : infinity)
                      : exponent == 0  ? std::ldexp(fraction, -24)
                                       : std::ldexp(fraction + 1024, exponent - 25);
  return (bits & 0x8000U) != 0 ? -size : size;
}

/// Calls `take` with a pointer to the elements, of their own type; of float16, to doubles made of them.
template <typename Take>
void with_elements(const Tensor& tensor, const Take& take) {
  switch (tensor.dtype) {
    case DataType::float32:
      return take(tensor.as<float>());
    case DataType::uint8:
      return take(tensor.as<std::uint8_t>());
    case DataType::int8:
      return take(tensor.as<std::int8_t>());
    case DataType::int32:
      return take(tensor.as<std::int32_t>());
    case DataType::int64:
      return take(tensor.as<std::int64_t>());
    case DataType::boolean:  // as bytes: of a damaged file's others than 0 and 1, no bool may be made
      return take(tensor.as<std::uint8_t>());
    case DataType::float64:
      return take(tensor.as<double>());
    case DataType::float16: {
      const std::uint16_t* halves = tensor.as<std::uint16_t>();
      std::vector<double> values(tensor.bytes.size() / sizeof(std::uint16_t));
      std::transform(halves, halves + values.size(), values.begin(), read_half);
      return take(values.data());
    }
  }
  throw Error("parity", "an output is of no known element type", "Convert its source again");
}

template <typename T>
Errors list_errors(const T* ours, const T* theirs, std::size_t count) {
  Errors errors{std::vector<double>(count), 1};
  if constexpr (std::numeric_limits<T>::is_integer) errors.peak = static_cast<double>(std::numeric_limits<T>::max());
  for (std::size_t i = 0; i < count; ++i) {
    const double one = static_cast<double>(ours[i]), other = static_cast<double>(theirs[i]);
    double error = std::fabs(one - other);
    // A double rounds integers above 2^53.
    if (std::numeric_limits<T>::is_integer && ours[i] != theirs[i]) error = std::max(error, 1.0);
    // A NaN is no small error, and equal infinities are none to be had: their difference is NaN as well.
    errors.absolute[i] = std::isnan(error) ? infinity : error;
    errors.non_finite += !std::isfinite(one);
  }
  return errors;
}

Errors list_errors_of_any(const Tensor& actual, const Tensor& expected) {
  Errors errors{};
  const std::size_t count = actual.bytes.size() / size_of(actual.dtype);
  with_elements(actual, [&](const auto* ours) {
    using Ours = std::remove_pointer_t<decltype(ours)>;
    with_elements(expected, [&](const auto* theirs) {
      using Theirs = std::remove_pointer_t<decltype(theirs)>;
      if constexpr (std::is_same_v<Ours, Theirs>) errors = list_errors(ours, theirs, count);
    });
  });
  if (actual.dtype == DataType::boolean) errors.peak = 1;
  return errors;
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
  if (!is_float(expected.dtype)) return 1;
  double unit = smallest_unit;
  with_elements(expected, [&](const auto* values) {
    for (std::size_t i = 0; i < expected.bytes.size() / size_of(expected.dtype); ++i) {
      const double magnitude = std::fabs(static_cast<double>(values[i]));
      if (std::isfinite(magnitude)) unit = std::max(unit, magnitude);
    }
  });
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
