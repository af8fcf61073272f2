#include "marks.hpp"

#include <algorithm>
#include <cstdio>
#include <set>

#include "exif.hpp"
#include "ganport/error.hpp"
#include "photo.hpp"

namespace ganport {
namespace {

// The rules, and what these numbers are for: converters/photos/marks.py.
constexpr std::uint8_t half = 128;
constexpr std::size_t paint_colours = 8;
constexpr unsigned int least_contrast = 8;

struct Levels {
  std::vector<unsigned int> values;
  unsigned int white = 255;
};

/// Marks as the file stores them, turned upright by its own EXIF orientation.
struct Stored {
  std::vector<std::uint8_t> marked;
  std::string how;
};

bool is_wide(const Image& image) { return image.channels == wide_grey; }

Levels read_levels(const Image& image) {
  Levels levels;
  levels.white = is_wide(image) ? 65535 : 255;
  levels.values.reserve(image.width * image.height);
  for (std::size_t i = 0; i < image.width * image.height; ++i) {
    const std::uint8_t* pixel = &image.pixels[i * image.channels];
    levels.values.push_back(is_wide(image) ? pixel[0] * 256U + pixel[1] : *std::max_element(pixel, pixel + 3));
  }
  return levels;
}

std::string format_middle(unsigned int sum) { return std::to_string(sum / 2) + (sum % 2 == 0 ? "" : ".5"); }

Stored cut(const Levels& levels) {
  const std::set<unsigned int> values(levels.values.begin(), levels.values.end());
  const unsigned int low = *values.begin(), high = *values.rbegin();
  const std::string white = std::to_string(levels.white), from = std::to_string(low), to = std::to_string(high);
  Stored stored;
  stored.marked.reserve(levels.values.size());
  if (values.size() != 2 && (high - low) * least_contrast < levels.white) {
    const bool is_white = low + high > levels.white;
    stored.marked.assign(levels.values.size(), is_white ? 1 : 0);
    stored.how = "it is of " + (low == high ? "level " + from : "levels " + from + " to " + to) + " of " + white +
                 " alone, which counts as " + (is_white ? "white" : "black");
    return stored;
  }
  for (const unsigned int level : levels.values) stored.marked.push_back(2 * level > low + high ? 1 : 0);
  stored.how = values.size() == 2
                   ? "of its two levels, " + from + " and " + to + " of " + white + ", the higher one is marked"
                   : "it has " + std::to_string(values.size()) + " levels, " + from + " to " + to + " of " + white +
                         ": those above " + format_middle(low + high) + " are marked";
  if (low * least_contrast >= levels.white) stored.how += "; none of it is black";
  return stored;
}

/// Rule 1, for an image of which some pixels are more than half transparent.
Stored read_layer(const Image& image, Levels levels) {
  std::set<unsigned int> colours;
  Stored stored;
  for (std::size_t i = 0; i < levels.values.size(); ++i) {
    const std::uint8_t* pixel = &image.pixels[i * image.channels];
    const bool is_seen = pixel[3] >= half;
    stored.marked.push_back(is_seen ? 1 : 0);
    if (is_seen) {
      colours.insert((pixel[0] >> 4U) << 8U | (pixel[1] >> 4U) << 4U | pixel[2] >> 4U);
    } else {
      levels.values[i] = 0;
    }
  }
  if (colours.size() == 1) {
    stored.how = "what is painted on its transparent layer is marked";
    return stored;
  }
  if (colours.size() > paint_colours) {
    for (std::uint8_t& mark : stored.marked) mark = 1 - mark;
    stored.how = "what was erased from the picture is marked";
    return stored;
  }
  stored = cut(levels);
  stored.how = "what is transparent counts as black; " + stored.how;
  return stored;
}

Stored read_stored(const Image& image) {
  bool is_layer = false;
  if (image.channels == 4) {
    for (std::size_t i = 3; i < image.pixels.size(); i += 4) is_layer = is_layer || image.pixels[i] < half;
  }
  const Levels levels = read_levels(image);
  return is_layer ? read_layer(image, levels) : cut(levels);
}

std::string format_size(std::size_t width, std::size_t height) {
  return std::to_string(width) + "x" + std::to_string(height);
}

/// The hole as a share of the photo, and what is odd about it.
void describe(Marks* marks, const Image& photo) {
  const std::size_t count = static_cast<std::size_t>(std::count(marks->hole.begin(), marks->hole.end(), 1));
  const double share = static_cast<double>(count) / static_cast<double>(marks->hole.size());
  char text[64];
  std::snprintf(text, sizeof text, "the hole is %.1f %% of the photo", 100 * share);
  marks->notes.insert(marks->notes.begin(), text);
  if (count == 0) marks->notes.emplace_back("there is no hole");
  if (count == marks->hole.size()) marks->notes.emplace_back("there is nothing but hole");
  if (count == 0 || count == marks->hole.size()) return;
  bool takes_edge = true;
  for (std::size_t y = 0; y < photo.height; ++y) {
    for (std::size_t x = 0; x < photo.width; ++x) {
      const bool is_edge = y == 0 || x == 0 || y + 1 == photo.height || x + 1 == photo.width;
      takes_edge = takes_edge && (!is_edge || marks->hole[y * photo.width + x] == 1);
    }
  }
  if (share > 0.5 && takes_edge) {
    marks->notes.emplace_back("the hole takes the whole edge: if it is what is dark in the mask, invert the mask");
  } else if (share > 0.9) {
    marks->notes.emplace_back("the hole is nearly everything");
  }
}

}  // namespace

Marks read_mask(const std::filesystem::path& path, const Image& photo) {
  const Image image = read_picture(path, true);
  Stored stored = read_stored(image);
  Marks marks;
  marks.notes.push_back(stored.how);
  Image plane;
  plane.width = image.width;
  plane.height = image.height;
  plane.channels = 1;
  plane.pixels = std::move(stored.marked);
  const auto fits = [&](const Image& marked) { return marked.width == photo.width && marked.height == photo.height; };
  if (!fits(plane) && image.orientation == 1) {
    Image turned = make_upright(plane, photo.orientation);
    if (fits(turned)) {
      plane = std::move(turned);
      marks.notes.emplace_back("it is turned with the photo, whose EXIF block says that it is rotated");
    }
  }
  if (!fits(plane)) {
    throw Error(path.string(),
                "it is " + format_size(image.width, image.height) + " pixels, the photo " +
                    format_size(photo.width, photo.height),
                "Give both the same size");
  }
  marks.hole = std::move(plane.pixels);
  describe(&marks, photo);
  return marks;
}

}  // namespace ganport
