#pragma once

#include <filesystem>

#include "ganport/tensor.hpp"

namespace ganport {

/// Read a NumPy array file: float32, uint8 or int8, little endian, C order. Throws Error: it is none.
Tensor read_npy(const std::filesystem::path& path);

}  // namespace ganport
