#pragma once

#include <filesystem>
#include <string>

#include "image.hpp"

namespace ganport {

/// Decode a JPEG file's bytes as RGB. Throws Error: it is damaged, cut short, of CMYK, or claims too many pixels.
Image decode_jpeg(const std::filesystem::path& path, const std::string& bytes);

}  // namespace ganport
