#pragma once

#include <string_view>

#include "image.hpp"

namespace ganport {

/// The orientation, 1 to 8, that an EXIF block states; 1, upright, where it states none or is damaged.
int read_orientation(std::string_view exif);

/// The picture as it is meant to be seen.
Image make_upright(Image image, int orientation);

}  // namespace ganport
