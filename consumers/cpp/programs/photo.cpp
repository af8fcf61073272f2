#include "photo.hpp"

#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <fstream>

#include "exif.hpp"
#include "ganport/error.hpp"
#include "jpeg_file.hpp"
#include "png_file.hpp"
#include "whole_file.hpp"

namespace ganport {
namespace {

namespace fs = std::filesystem;

constexpr std::uintmax_t largest_file = std::uintmax_t{1} << 30U;
// A header that claims more is no photo in earnest; the same limit as in `ganport inpaint`.
constexpr std::uint64_t most_pixels = 89'478'485;
// Where an ICC profile names the colours that it is for.
constexpr std::size_t colours_offset = 16;

bool begins_with(const std::string& bytes, std::string_view magic) {
  return bytes.compare(0, magic.size(), magic) == 0;
}

Image decode(const fs::path& path, const std::string& bytes, bool keep_wide) {
  if (begins_with(bytes, "\x89PNG\r\n\x1a\n")) return decode_png(path, bytes, keep_wide);
  if (begins_with(bytes, "\xff\xd8\xff")) return decode_jpeg(path, bytes);
  throw Error(path.string(), "it is no PNG or JPEG image", "Save it as one of these");
}

std::string reason() { return errno == 0 ? "unknown reason" : std::strerror(errno); }

// A hidden file of ours in the folder, that nobody has: the picture is written there first.
fs::path name_unused(const fs::path& folder) {
  for (int count = 0;; ++count) {
    fs::path path = folder / (".ganport-" + std::to_string(getpid()) + "-" + std::to_string(count));
    std::error_code code;
    if (!fs::exists(fs::symlink_status(path, code))) return path;
  }
}

}  // namespace

void require_sensible_size(const fs::path& path, std::uint64_t width, std::uint64_t height) {
  if (width == 0 || height == 0) throw Error(path.string(), "it has no pixels", "Download or copy it again");
  if (width > most_pixels / height) {
    throw Error(path.string(),
                "its header claims more than " + std::to_string(most_pixels / 1'000'000) + " million pixels",
                "Scale the picture down");
  }
}

Image read_photo(const fs::path& path) { return read_picture(path, false); }

Image read_picture(const fs::path& path, bool keep_wide) {
  Image image = decode(path, read_whole(path, largest_file), keep_wide);
  const int orientation = read_orientation(image.exif);
  image = make_upright(std::move(image), orientation);
  image.orientation = orientation;
  // The result is in RGB: a profile for grey or for print does not fit it.
  const std::string& profile = image.icc_profile;
  if (profile.size() < colours_offset || profile.compare(colours_offset, 4, "RGB ") != 0) image.icc_profile.clear();
  return image;
}

void require_output(const fs::path& path, const std::vector<fs::path>& given) {
  std::string suffix = path.extension().string();
  std::transform(suffix.begin(), suffix.end(), suffix.begin(), [](unsigned char c) { return std::tolower(c); });
  if (suffix != ".png") {
    throw Error(path.string(), "'" + path.extension().string() + "' is not what is written", "End it in .png");
  }
  std::error_code code;
  if (fs::is_directory(path, code)) throw Error(path.string(), "it is a folder", "Name a file");
  const fs::path folder = fs::absolute(path).parent_path();
  if (!fs::is_directory(folder, code)) {
    throw Error(path.string(), "its folder does not exist", "Make the folder, or name another file");
  }
  if (access(folder.c_str(), W_OK | X_OK) != 0) {
    throw Error(path.string(), "its folder is not writable", "Name another file");
  }
  for (const fs::path& file : given) {
    if (fs::equivalent(path, file, code)) {
      throw Error(path.string(), "it is one of the files given", "Name another file to write");
    }
  }
}

void write_photo(const fs::path& path, const Image& photo) {
  const std::string png = encode_png(path, photo);
  const fs::path partial = name_unused(path.parent_path());
  std::error_code code;
  errno = 0;
  std::ofstream file(partial, std::ios::binary | std::ios::trunc);
  if (!file) throw Error(path.string(), "cannot be written (" + reason() + ")", "Name another file");
  file.write(png.data(), static_cast<std::streamsize>(png.size()));
  file.close();
  std::string fault = file ? "" : reason();
  if (fault.empty()) {
    fs::rename(partial, path, code);
    if (code) fault = code.message();
  }
  if (!fault.empty()) {
    fs::remove(partial, code);
    throw Error(path.string(), "cannot be written (" + fault + ")", "Name another file");
  }
}

}  // namespace ganport
