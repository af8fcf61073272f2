// ganport-apply: photo in, picture out, with a pipeline's bundle.
#include <cstdio>

#include "command.hpp"
#include "photo.hpp"
#include "pictures.hpp"

namespace {

int apply(const ganport::Arguments& arguments) {
  const std::string &bundle = arguments.paths[0], &photo_path = arguments.paths[1], &out = arguments.paths[2];
  ganport::require_output(out, {photo_path});
  ganport::Image photo = ganport::read_photo(photo_path);
  ganport::Generator generator(bundle, {arguments.threads});
  ganport::require_inputs(bundle, generator, {"photo"});
  ganport::require_size(photo_path, photo, generator);
  ganport::run_on_photo(bundle, generator, photo, {});
  ganport::write_photo(out, photo);
  std::printf("%s\n", out.c_str());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return ganport::run_command({"ganport-apply",
                               {"BUNDLE", "PHOTO", "OUT.png"},
                               "Make a picture of PHOTO with a pipeline's bundle."},
                              argc, argv, apply);
}
