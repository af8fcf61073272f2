// libpng reports an error by a long jump, which runs no destructor. So every function below that calls setjmp holds
// nothing that has one, and does nothing but call libpng; what it needs lives in its caller.
#include "png_file.hpp"

#include <png.h>

#include <csetjmp>
#include <cstring>

#include "ganport/error.hpp"

namespace ganport {
namespace {

constexpr int bit_depth = 8;

/// Bytes yet to be read, and why reading stopped.
struct Source {
  const std::string& bytes;
  std::size_t position = 0;
};

struct Header {
  png_uint_32 width = 0, height = 0;
  std::size_t channels = 3;
};

[[noreturn]] void jump(png_structp png, png_const_charp) { png_longjmp(png, 1); }
void keep_quiet(png_structp, png_const_charp) {}

void read_bytes(png_structp png, png_bytep target, std::size_t count) {
  auto* source = static_cast<Source*>(png_get_io_ptr(png));
  if (count > source->bytes.size() - source->position) png_error(png, "cut short");
  std::memcpy(target, source->bytes.data() + source->position, count);
  source->position += count;
}

void append_bytes(png_structp png, png_bytep data, std::size_t count) {
  // An allocation that fails must not be thrown through libpng.
  try {
    static_cast<std::string*>(png_get_io_ptr(png))->append(reinterpret_cast<const char*>(data), count);
  } catch (const std::exception&) {
    png_error(png, "no memory");
  }
}

void flush_nothing(png_structp) {}

class Reader {
 public:
  explicit Reader(Source* source) : png_(png_create_read_struct(PNG_LIBPNG_VER_STRING, nullptr, jump, keep_quiet)) {
    info_ = png_ == nullptr ? nullptr : png_create_info_struct(png_);
    if (info_ != nullptr) png_set_read_fn(png_, source, read_bytes);
  }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;
  ~Reader() { png_destroy_read_struct(&png_, &info_, nullptr); }

  bool read_header(Header* header) {
    if (info_ == nullptr || setjmp(png_jmpbuf(png_)) != 0) return false;
    png_read_info(png_, info_);
    header->width = png_get_image_width(png_, info_);
    header->height = png_get_image_height(png_, info_);
    return true;
  }

  /// Ask for RGB or RGBA, or for grey of 16 bits, and make room inside libpng.
  bool choose_format(Header* header, bool keep_wide) {
    if (setjmp(png_jmpbuf(png_)) != 0) return false;
    const bool is_wide = png_get_color_type(png_, info_) == PNG_COLOR_TYPE_GRAY && png_get_bit_depth(png_, info_) == 16;
    if (!keep_wide || !is_wide || png_get_valid(png_, info_, PNG_INFO_tRNS) != 0) {
      png_set_expand(png_);  // palettes, fewer than 8 bits, transparent colours
      png_set_strip_16(png_);
      png_set_gray_to_rgb(png_);
    }
    png_set_interlace_handling(png_);
    png_read_update_info(png_, info_);
    const auto type = png_get_color_type(png_, info_);
    header->channels = type == PNG_COLOR_TYPE_GRAY ? wide_grey : (type & PNG_COLOR_MASK_ALPHA) != 0 ? 4 : 3;
    return true;
  }

  bool read_rows(png_bytepp rows) {
    if (setjmp(png_jmpbuf(png_)) != 0) return false;
    png_read_image(png_, rows);
    png_read_end(png_, info_);
    return true;
  }

  std::size_t row_bytes() const { return png_get_rowbytes(png_, info_); }

  std::string icc_profile() const {
    png_charp name = nullptr;
    int compression = 0;
    png_bytep profile = nullptr;
    png_uint_32 size = 0;
    if (png_get_iCCP(png_, info_, &name, &compression, &profile, &size) == 0) return "";
    return {reinterpret_cast<const char*>(profile), size};
  }

  std::string exif() const {
    png_uint_32 size = 0;
    png_bytep block = nullptr;
    if (png_get_eXIf_1(png_, info_, &size, &block) == 0) return "";
    return {reinterpret_cast<const char*>(block), size};
  }

 private:
  png_structp png_;
  png_infop info_ = nullptr;
};

class Writer {
 public:
  explicit Writer(std::string* file) : png_(png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, jump, keep_quiet)) {
    info_ = png_ == nullptr ? nullptr : png_create_info_struct(png_);
    if (info_ != nullptr) png_set_write_fn(png_, file, append_bytes, flush_nothing);
  }
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;
  ~Writer() { png_destroy_write_struct(&png_, &info_); }

  bool write(const Image& image, png_bytepp rows) {
    if (info_ == nullptr || setjmp(png_jmpbuf(png_)) != 0) return false;
    png_set_IHDR(png_, info_, static_cast<png_uint_32>(image.width), static_cast<png_uint_32>(image.height), bit_depth,
                 image.channels == 4 ? PNG_COLOR_TYPE_RGB_ALPHA : PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    if (!image.icc_profile.empty()) {
      png_set_iCCP(png_, info_, "ICC Profile", PNG_COMPRESSION_TYPE_DEFAULT,
                   reinterpret_cast<png_const_bytep>(image.icc_profile.data()),
                   static_cast<png_uint_32>(image.icc_profile.size()));
    }
    png_write_info(png_, info_);
    png_write_image(png_, rows);
    png_write_end(png_, info_);
    return true;
  }

 private:
  png_structp png_;
  png_infop info_ = nullptr;
};

std::vector<png_bytep> list_rows(std::uint8_t* pixels, std::size_t count, std::size_t row_bytes) {
  std::vector<png_bytep> rows(count);
  for (std::size_t y = 0; y < count; ++y) rows[y] = pixels + y * row_bytes;
  return rows;
}

}  // namespace

Image decode_png(const std::filesystem::path& path, const std::string& bytes, bool keep_wide) {
  const Error damaged(path.string(), "it is damaged or cut short", "Download or copy it again");
  Source source{bytes};
  Reader reader(&source);
  Header header;
  if (!reader.read_header(&header)) throw damaged;
  require_sensible_size(path, header.width, header.height);
  if (!reader.choose_format(&header, keep_wide)) throw damaged;
  Image image;
  image.width = header.width;
  image.height = header.height;
  image.channels = header.channels;
  if (reader.row_bytes() != image.width * image.channels) throw damaged;
  image.pixels.resize(image.height * reader.row_bytes());
  auto rows = list_rows(image.pixels.data(), image.height, reader.row_bytes());
  if (!reader.read_rows(rows.data())) throw damaged;
  image.icc_profile = reader.icc_profile();
  image.exif = reader.exif();
  return image;
}

std::string encode_png(const std::filesystem::path& path, const Image& image) {
  std::string file;
  // libpng writes from these rows and does not change them; its interface has no const.
  auto rows = list_rows(const_cast<std::uint8_t*>(image.pixels.data()), image.height, image.width * image.channels);
  if (!Writer(&file).write(image, rows.data())) {
    throw Error(path.string(), "libpng does not encode it", "Save the photo without its colour profile");
  }
  return file;
}

}  // namespace ganport
