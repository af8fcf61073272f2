// libjpeg's error handler may not return; ours jumps, which runs no destructor. So every function below that calls
// setjmp holds nothing that has one, and does nothing but call libjpeg; what it needs lives in its caller.
#include "jpeg_file.hpp"

#include <cstddef>
#include <cstdio>

#include <jerror.h>
#include <jpeglib.h>

#include <csetjmp>
#include <cstdlib>
#include <string_view>

#include "ganport/error.hpp"

namespace ganport {
namespace {

constexpr int exif_marker = JPEG_APP0 + 1;
constexpr int profile_marker = JPEG_APP0 + 2;
constexpr unsigned int longest_marker = 0xFFFF;
constexpr int cmyk_components = 4;
constexpr std::string_view exif_head("Exif\0\0", 6);

struct ErrorHandler {
  jpeg_error_mgr base;  // first, so that libjpeg's pointer to it is also one to this
  std::jmp_buf place;
};

[[noreturn]] void jump(j_common_ptr jpeg) { std::longjmp(reinterpret_cast<ErrorHandler*>(jpeg->err)->place, 1); }

void keep_quiet(j_common_ptr) {}

/// libjpeg only warns of a file that ends early, and makes the rest up.
void refuse_early_end(j_common_ptr jpeg, int level) {
  if (level >= 0) return;
  if (jpeg->err->msg_code == JWRN_JPEG_EOF || jpeg->err->msg_code == JWRN_HIT_MARKER) jump(jpeg);
}

class Reader {
 public:
  Reader() {
    jpeg_.err = jpeg_std_error(&handler_.base);
    handler_.base.error_exit = jump;
    handler_.base.output_message = keep_quiet;
    handler_.base.emit_message = refuse_early_end;
  }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;
  ~Reader() {
    jpeg_destroy_decompress(&jpeg_);
    std::free(profile_);
  }

  bool read_header(const std::string& bytes) {
    if (setjmp(handler_.place) != 0) return false;
    jpeg_create_decompress(&jpeg_);
    jpeg_save_markers(&jpeg_, exif_marker, longest_marker);
    jpeg_save_markers(&jpeg_, profile_marker, longest_marker);
    // libjpeg does not write to its source; older releases have no const there.
    jpeg_mem_src(&jpeg_, reinterpret_cast<unsigned char*>(const_cast<char*>(bytes.data())),
                 static_cast<unsigned long>(bytes.size()));
    jpeg_read_header(&jpeg_, TRUE);
    jpeg_read_icc_profile(&jpeg_, &profile_, &profile_size_);
    return true;
  }

  bool read_rows(std::uint8_t* pixels) {
    if (setjmp(handler_.place) != 0) return false;
    jpeg_.out_color_space = JCS_RGB;
    jpeg_start_decompress(&jpeg_);
    while (jpeg_.output_scanline < jpeg_.output_height) {
      JSAMPROW row = pixels + static_cast<std::size_t>(jpeg_.output_scanline) * jpeg_.output_width * 3;
      jpeg_read_scanlines(&jpeg_, &row, 1);
    }
    jpeg_finish_decompress(&jpeg_);
    return true;
  }

  std::size_t width() const { return jpeg_.image_width; }
  std::size_t height() const { return jpeg_.image_height; }
  bool is_cmyk() const { return jpeg_.num_components == cmyk_components; }

  std::string icc_profile() const {
    return profile_ == nullptr ? "" : std::string(reinterpret_cast<const char*>(profile_), profile_size_);
  }

  std::string exif() const {
    for (auto* marker = jpeg_.marker_list; marker != nullptr; marker = marker->next) {
      const std::string_view data(reinterpret_cast<const char*>(marker->data), marker->data_length);
      if (marker->marker == exif_marker && data.substr(0, exif_head.size()) == exif_head) {
        return std::string(data.substr(exif_head.size()));
      }
    }
    return "";
  }

 private:
  jpeg_decompress_struct jpeg_{};
  ErrorHandler handler_{};
  JOCTET* profile_ = nullptr;
  unsigned int profile_size_ = 0;
};

}  // namespace

Image decode_jpeg(const std::filesystem::path& path, const std::string& bytes) {
  const Error damaged(path.string(), "it is damaged or cut short", "Download or copy it again");
  Reader reader;
  if (!reader.read_header(bytes)) throw damaged;
  require_sensible_size(path, reader.width(), reader.height());
  if (reader.is_cmyk()) throw Error(path.string(), "its colours are for print (CMYK)", "Save it in RGB");
  Image image;
  image.width = reader.width();
  image.height = reader.height();
  image.pixels.resize(image.width * image.height * image.channels);
  // Before the rows: the end of decoding frees the markers.
  image.icc_profile = reader.icc_profile();
  image.exif = reader.exif();
  if (!reader.read_rows(image.pixels.data())) throw damaged;
  return image;
}

}  // namespace ganport
