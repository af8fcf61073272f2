#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace ganport {

/// Channels of a picture in grey of 16 bits: two bytes a pixel, the higher one first.
constexpr std::size_t wide_grey = 2;

/// A picture of 8 bits a channel, rows from the top, as a file holds it.
struct Image {
  std::size_t width = 0;
  std::size_t height = 0;
  /// 3: RGB, 4: RGBA; for masks also wide_grey, or 1.
  std::size_t channels = 3;
  std::vector<std::uint8_t> pixels;
  /// Its colour profile, or empty.
  std::string icc_profile;
  /// EXIF's orientation, 1 to 8: how the file stores what is upright here.
  int orientation = 1;
  /// Its EXIF block from the TIFF header on, or empty.
  std::string exif;

  std::uint8_t* at(std::size_t x, std::size_t y) { return pixels.data() + (y * width + x) * channels; }
  const std::uint8_t* at(std::size_t x, std::size_t y) const { return pixels.data() + (y * width + x) * channels; }
};

/// Refuse what a header claims before memory is taken for it. Throws Error.
void require_sensible_size(const std::filesystem::path& path, std::uint64_t width, std::uint64_t height);

}  // namespace ganport
