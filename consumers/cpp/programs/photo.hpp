#pragma once

#include <filesystem>
#include <vector>

#include "image.hpp"

namespace ganport {

/// Read a PNG or JPEG file, upright. Throws Error: it is missing, neither of them, or damaged.
Image read_photo(const std::filesystem::path& path);

/// The same; with `keep_wide`, a PNG file in grey of 16 bits stays so. Throws Error.
Image read_picture(const std::filesystem::path& path, bool keep_wide);

/// Refuse a place where no PNG can be written, before any work is done. Throws Error.
void require_output(const std::filesystem::path& path, const std::vector<std::filesystem::path>& given);

/// Write a PNG, whole or not at all. Throws Error: the disk refuses it.
void write_photo(const std::filesystem::path& path, const Image& photo);

}  // namespace ganport
