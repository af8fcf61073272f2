#include "exif.hpp"

#include <algorithm>
#include <utility>

namespace ganport {
namespace {

constexpr unsigned int orientation_tag = 0x0112;
constexpr unsigned int short_type = 3;
constexpr std::size_t entry_size = 12;

/// Numbers of a TIFF block in its own byte order; what lies beyond its end reads as 0.
class Block {
 public:
  explicit Block(std::string_view bytes) : bytes_(bytes), is_big_endian_(bytes.substr(0, 2) == "MM") {}

  unsigned int u16(std::size_t at) const {
    const unsigned int first = byte(at), second = byte(at + 1);
    return is_big_endian_ ? first << 8U | second : second << 8U | first;
  }

  std::size_t u32(std::size_t at) const {
    const std::size_t first = u16(at), second = u16(at + 2);
    return is_big_endian_ ? first << 16U | second : second << 16U | first;
  }

  bool is_tiff() const { return (is_big_endian_ || bytes_.substr(0, 2) == "II") && u16(2) == 42; }

 private:
  unsigned int byte(std::size_t at) const { return at < bytes_.size() ? static_cast<unsigned char>(bytes_[at]) : 0; }

  std::string_view bytes_;
  bool is_big_endian_;
};

}  // namespace

int read_orientation(std::string_view exif) {
  const Block block(exif);
  if (!block.is_tiff()) return 1;
  const std::size_t directory = block.u32(4);
  for (std::size_t i = 0, count = block.u16(directory); i < count; ++i) {
    const std::size_t entry = directory + 2 + i * entry_size;
    if (block.u16(entry) != orientation_tag || block.u16(entry + 2) != short_type) continue;
    const unsigned int value = block.u16(entry + 8);
    return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
  }
  return 1;
}

Image make_upright(Image image, int orientation) {
  if (orientation == 1) return image;
  // Which of the stored picture's axes run backwards, and whether they are exchanged.
  const bool is_turned = orientation >= 5;
  const bool flips_x = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  const bool flips_y = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  Image upright = image;
  if (is_turned) std::swap(upright.width, upright.height);
  for (std::size_t y = 0; y < upright.height; ++y) {
    for (std::size_t x = 0; x < upright.width; ++x) {
      const std::size_t along = is_turned ? y : x, across = is_turned ? x : y;
      const std::uint8_t* pixel = image.at(flips_x ? image.width - 1 - along : along,  //
                                           flips_y ? image.height - 1 - across : across);
      std::copy_n(pixel, image.channels, upright.at(x, y));
    }
  }
  return upright;
}

}  // namespace ganport
