// ganport-inpaint: photo in, photo out, with a pipeline bundle.
#include <algorithm>
#include <cstdio>
#include <set>

#include "command.hpp"
#include "ganport/error.hpp"
#include "ganport/generator.hpp"
#include "marks.hpp"
#include "photo.hpp"

namespace {

using ganport::DataType;
using ganport::Error;
using ganport::Image;
using ganport::Tensor;

constexpr std::size_t smallest = 12;

void require_pipeline(const std::string& bundle, const ganport::Generator& generator) {
  std::set<std::string> names;
  for (const auto& spec : generator.inputs()) names.insert(spec.name);
  if (names != std::set<std::string>{"photo", "mask", "edge_edits"}) {
    throw Error(bundle, "it is of " + generator.architecture() + ", which takes no photo",
                "Make a pipeline bundle: ganport convert EDGE INPAINT --pipeline --to onnx");
  }
}

/// The inputs: RGB without its alpha channel, the hole, and no edits.
ganport::Tensors make_inputs(const Image& photo, const std::vector<std::uint8_t>& mask) {
  const auto height = static_cast<std::int64_t>(photo.height), width = static_cast<std::int64_t>(photo.width);
  Tensor rgb = Tensor::zeros(DataType::uint8, {1, height, width, 3});
  for (std::size_t i = 0; i < mask.size(); ++i) {
    std::copy_n(&photo.pixels[i * photo.channels], 3, &rgb.bytes[i * 3]);
  }
  return {{"photo", std::move(rgb)},
          {"mask", {DataType::uint8, {1, height, width}, mask}},
          {"edge_edits", Tensor::zeros(DataType::int8, {1, height, width})}};
}

/// Put the result's pixels in; the photo's transparency stays, but for the hole, which is opaque.
void fill(Image& photo, const Tensor& result, const std::vector<std::uint8_t>& mask) {
  for (std::size_t i = 0; i < mask.size(); ++i) {
    std::copy_n(&result.bytes[i * 3], 3, &photo.pixels[i * photo.channels]);
    if (photo.channels == 4 && mask[i] > 0) photo.pixels[i * 4 + 3] = 255;
  }
}

int inpaint(const ganport::Arguments& arguments) {
  const std::string &bundle = arguments.paths[0], &photo_path = arguments.paths[1], &mask_path = arguments.paths[2],
                    &out = arguments.paths[3];
  ganport::require_output(out, {photo_path, mask_path});
  Image photo = ganport::read_photo(photo_path);
  if (photo.width < smallest || photo.height < smallest) {
    throw Error(photo_path, "it is " + std::to_string(photo.width) + "x" + std::to_string(photo.height) + " pixels",
                "Give " + std::to_string(smallest) + " or more on each side");
  }
  const ganport::Marks marks = ganport::read_mask(mask_path, photo);
  const auto& mask = marks.hole;
  ganport::Generator generator(bundle, {arguments.threads});
  require_pipeline(bundle, generator);
  const ganport::Tensors results = generator.run(make_inputs(photo, mask));
  const auto result = results.find("result");
  if (result == results.end() || result->second.bytes.size() != mask.size() * 3) {
    throw Error(bundle, "it gives no picture of the photo's size as 'result'", "Convert the checkpoints again");
  }
  fill(photo, result->second, mask);
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
                               "Fill the hole of PHOTO, which is where MASK is white, with a pipeline bundle."},
                              argc, argv, inpaint);
}
