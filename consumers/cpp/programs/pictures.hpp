#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ganport/generator.hpp"
#include "image.hpp"

namespace ganport {

/// Refuse a bundle that does not take these inputs, but for edge edits, which it may take besides. Throws Error.
void require_inputs(const std::string& bundle, const Generator& generator, const std::vector<std::string>& names);

/// Refuse a photo that is smaller than what the bundle takes. Throws Error.
void require_size(const std::string& path, const Image& photo, const Generator& generator);

/// Run the bundle on the photo, and put the result's pixels in. The photo's transparency stays.
///
/// @param hole One byte for each pixel, above 0 in the hole; it is passed on if the bundle takes it.
///
/// Throws Error: the bundle gives no picture of the photo's size.
void run_on_photo(const std::string& bundle, Generator& generator, Image& photo, const std::vector<std::uint8_t>& hole);

}  // namespace ganport
