#include "pictures.hpp"

#include <algorithm>
#include <set>

#include "ganport/error.hpp"

namespace ganport {
namespace {

constexpr char edits[] = "edge_edits";

}  // namespace

void require_inputs(const std::string& bundle, const Generator& generator, const std::vector<std::string>& names) {
  std::set<std::string> held;
  std::string told;
  for (const TensorSpec& spec : generator.inputs()) {
    held.insert(spec.name);
    told += (told.empty() ? "" : ", ") + spec.name;
  }
  std::set<std::string> wanted(names.begin(), names.end());
  if (held == wanted) return;
  if (wanted.count("mask") > 0 && (wanted.insert(edits), held == wanted)) return;
  const bool is_pipeline = held.count("photo") > 0;
  throw Error(bundle, "it is of " + generator.architecture() + ", which takes " + told,
              is_pipeline ? "Give photo and mask to ganport-inpaint, a photo alone to ganport-apply"
                          : "Make a pipeline's bundle: ganport convert CHECKPOINT --pipeline --to onnx");
}

void require_size(const std::string& path, const Image& photo, const Generator& generator) {
  std::int64_t smallest = 1;
  for (const TensorSpec& spec : generator.inputs()) smallest = std::max(smallest, spec.minimum);
  const auto least = static_cast<std::size_t>(smallest);
  if (photo.width >= least && photo.height >= least) return;
  throw Error(path, "it is " + std::to_string(photo.width) + "x" + std::to_string(photo.height) + " pixels",
              "Give " + std::to_string(least) + " or more on each side");
}

void run_on_photo(const std::string& bundle, Generator& generator, Image& photo,
                  const std::vector<std::uint8_t>& hole) {
  const auto height = static_cast<std::int64_t>(photo.height), width = static_cast<std::int64_t>(photo.width);
  const std::size_t pixels = photo.height * photo.width;
  Tensor rgb = Tensor::zeros(DataType::uint8, {1, height, width, 3});
  for (std::size_t i = 0; i < pixels; ++i) std::copy_n(&photo.pixels[i * photo.channels], 3, &rgb.bytes[i * 3]);
  Tensors inputs{{"photo", std::move(rgb)}};
  for (const TensorSpec& spec : generator.inputs()) {
    if (spec.name == "mask") inputs["mask"] = {DataType::uint8, {1, height, width}, hole};
    if (spec.name == edits) inputs[edits] = Tensor::zeros(DataType::int8, {1, height, width});
  }
  const Tensors results = generator.run(inputs);
  const auto result = results.find("result");
  if (result == results.end() || result->second.bytes.size() != pixels * 3) {
    throw Error(bundle, "it gives no picture of the photo's size as 'result'", "Convert the checkpoints again");
  }
  for (std::size_t i = 0; i < pixels; ++i) {
    std::copy_n(&result->second.bytes[i * 3], 3, &photo.pixels[i * photo.channels]);
  }
}

}  // namespace ganport
