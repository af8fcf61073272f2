// ganport-inpaint: photo and mask in, photo out, with a pipeline's bundle.
#include <cstdio>

#include "command.hpp"
#include "marks.hpp"
#include "photo.hpp"
#include "pictures.hpp"

namespace {

int inpaint(const ganport::Arguments& arguments) {
  const std::string &bundle = arguments.paths[0], &photo_path = arguments.paths[1], &mask_path = arguments.paths[2],
                    &out = arguments.paths[3];
  ganport::require_output(out, {photo_path, mask_path});
  ganport::Image photo = ganport::read_photo(photo_path);
  const ganport::Marks marks = ganport::read_mask(mask_path, photo);
  ganport::Generator generator(bundle, {arguments.threads});
  ganport::require_inputs(bundle, generator, {"photo", "mask"});
  ganport::require_size(photo_path, photo, generator);
  ganport::run_on_photo(bundle, generator, photo, marks.hole);
  // Where it was filled, a photo is opaque.
  for (std::size_t i = 0; photo.channels == 4 && i < marks.hole.size(); ++i) {
    if (marks.hole[i] > 0) photo.pixels[i * 4 + 3] = 255;
  }
  ganport::write_photo(out, photo);
  for (const std::string& note : marks.notes) {
    std::fprintf(stderr, "%s\n", ganport::on_one_line(mask_path + ": " + note).c_str());
  }
  std::printf("%s\n", out.c_str());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return ganport::run_command({"ganport-inpaint",
                               {"BUNDLE", "PHOTO", "MASK", "OUT.png"},
                               "Fill the hole of PHOTO, which is where MASK is white, with a pipeline's bundle."},
                              argc, argv, inpaint);
}
