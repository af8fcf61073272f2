#pragma once

#include <cstddef>
#include <optional>

#include "ganport/tensor.hpp"

namespace ganport {

/// Bytes of an array, or nothing where a size is negative or the product too large for memory.
std::optional<std::size_t> count_bytes(DataType dtype, const Shape& shape);

}  // namespace ganport
