#include "ganport/tensor.hpp"

#include <utility>

#include "ganport/error.hpp"
#include "sizes.hpp"

namespace ganport {
namespace {

struct TypeFacts {
  std::string_view name;
  std::size_t size;
};

TypeFacts facts_of(DataType dtype) {
  switch (dtype) {
    case DataType::float32:
      return {"float32", 4};
    case DataType::uint8:
      return {"uint8", 1};
    case DataType::int8:
      return {"int8", 1};
    case DataType::int32:
      return {"int32", 4};
    case DataType::int64:
      return {"int64", 8};
    case DataType::boolean:
      return {"bool", 1};
    case DataType::float16:
      return {"float16", 2};
    case DataType::float64:
      return {"float64", 8};
  }
  throw Error("tensor", "its element type is none of the enumeration's", "Give a DataType by name");
}

template <typename Size, typename Write>
std::string join(const std::vector<Size>& sizes, Write write) {
  std::string text = "(";
  for (std::size_t i = 0; i < sizes.size(); ++i) text += (i ? ", " : "") + write(sizes[i]);
  return text + (sizes.size() == 1 ? ",)" : ")");
}

}  // namespace

std::string_view name_of(DataType dtype) { return facts_of(dtype).name; }

std::size_t size_of(DataType dtype) { return facts_of(dtype).size; }

std::string format_shape(const Shape& shape) {
  return join(shape, [](std::int64_t size) { return std::to_string(size); });
}

std::string format_shape(const std::vector<Axis>& shape) {
  return join(shape, [](const Axis& axis) { return axis.name.empty() ? std::to_string(axis.size) : axis.name; });
}

Tensor Tensor::zeros(DataType dtype, Shape shape) {
  const auto size = count_bytes(dtype, shape);
  if (!size) throw Error("tensor", "no array can be of the shape " + format_shape(shape), "Give sizes of 0 or more");
  Tensor tensor{dtype, std::move(shape), {}};
  tensor.bytes.resize(*size);
  return tensor;
}

std::optional<std::size_t> count_bytes(DataType dtype, const Shape& shape) {
  // Half of the address space: no allocation is larger, and no product of two factors below it wraps unseen.
  constexpr std::size_t most = static_cast<std::size_t>(-1) / 2;
  std::size_t bytes = size_of(dtype);
  bool empty = false;
  for (const std::int64_t size : shape) {
    if (size < 0) return std::nullopt;
    if (size == 0) {
      empty = true;
      continue;
    }
    if (static_cast<std::uint64_t>(size) > most / bytes) return std::nullopt;
    bytes *= static_cast<std::size_t>(size);
  }
  return empty ? 0 : bytes;
}

}  // namespace ganport
