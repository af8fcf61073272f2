#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "image.hpp"

namespace ganport {

/// The hole that a mask draws.
struct Marks {
  /// 1 in the hole, 0 elsewhere; rows of the photo from the top.
  std::vector<std::uint8_t> hole;
  /// How it was read, and what looks odd about it, in words.
  std::vector<std::string> notes;
};

/// Read a mask by the rules of ganport's converters/photos/marks.py; one table of cases tests both.
///
/// Throws Error: it cannot be read, or does not fit the photo.
Marks read_mask(const std::filesystem::path& path, const Image& photo);

}  // namespace ganport
