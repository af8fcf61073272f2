#pragma once

#include <filesystem>
#include <string>

#include "image.hpp"

namespace ganport {

/// Decode a PNG file's bytes: grey and palettes made RGB, 16 bits cut to the upper 8, a transparent colour made an
/// alpha channel; no gamma is applied. With `keep_wide`, grey of 16 bits without transparency becomes wide_grey.
///
/// Throws Error: it is damaged or claims too many pixels.
Image decode_png(const std::filesystem::path& path, const std::string& bytes, bool keep_wide = false);

/// A PNG file of the picture and its colour profile. Throws Error: libpng refuses it.
std::string encode_png(const std::filesystem::path& path, const Image& image);

}  // namespace ganport
