#pragma once

#include <filesystem>
#include <vector>

#include "image.hpp"

namespace ganport {

/// Read a PNG or JPEG file, upright. Throws Error: it is missing, neither of them, or damaged.
Image read_photo(const std::filesystem::path& path);

/// 1 where a picture is not black, 0 elsewhere; fully transparent pixels count as black.
///
/// Throws Error: it cannot be read, or is not of the photo's size.
std::vector<std::uint8_t> read_mask(const std::filesystem::path& path, const Image& photo);

/// Refuse a place where no PNG can be written, before any work is done. Throws Error.
void require_output(const std::filesystem::path& path, const std::vector<std::filesystem::path>& given);

/// Write a PNG, whole or not at all. Throws Error: the disk refuses it.
void write_photo(const std::filesystem::path& path, const Image& photo);

}  // namespace ganport
