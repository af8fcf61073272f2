#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace ganport {

/// Element types that contracts use. A float16 is its two bytes, as IEEE 754 has them; a bool is a byte, 0 or 1.
enum class DataType { float32, uint8, int8, int32, int64, boolean, float16, float64 };

/// Every one of them.
inline constexpr DataType data_types[] = {DataType::float32, DataType::uint8,   DataType::int8,    DataType::int32,
                                          DataType::int64,   DataType::boolean, DataType::float16, DataType::float64};

/// numpy's name of the type.
std::string_view name_of(DataType dtype);

/// Bytes of one element.
std::size_t size_of(DataType dtype);

/// Axis sizes, outermost first.
using Shape = std::vector<std::int64_t>;

/// "(1, 3, 64, 96)".
std::string format_shape(const Shape& shape);

/// A dense array in C order: the last axis is contiguous.
struct Tensor {
  DataType dtype = DataType::float32;
  Shape shape;
  std::vector<std::uint8_t> bytes;

  /// An array of zeros; an Error if a size is negative or the whole does not fit into memory.
  static Tensor zeros(DataType dtype, Shape shape);

  /// The elements; T must be of the dtype's size.
  template <typename T>
  T* as() {
    return reinterpret_cast<T*>(bytes.data());
  }
  template <typename T>
  const T* as() const {
    return reinterpret_cast<const T*>(bytes.data());
  }
};

/// Arrays by the contract's names.
using Tensors = std::map<std::string, Tensor>;

/// One axis of a contract: free where `name` says so, else of a fixed size.
struct Axis {
  std::string name;
  std::int64_t size = 0;
};

/// One input or output. A named size is the same in all inputs and outputs; each but "N" must be a multiple of
/// `multiple_of` and at least `minimum`.
struct TensorSpec {
  std::string name;
  DataType dtype = DataType::float32;
  std::vector<Axis> shape;
  std::string layout;
  std::string meaning;
  std::int64_t multiple_of = 1;
  std::int64_t minimum = 1;
};

/// "(N, 3, H, W)".
std::string format_shape(const std::vector<Axis>& shape);

}  // namespace ganport
