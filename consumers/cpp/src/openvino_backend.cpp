#include <cstring>
#include <openvino/openvino.hpp>

#include "backend.hpp"
#include "ganport/error.hpp"
#include "reason.hpp"

namespace ganport {
namespace {

ov::element::Type element_of(DataType dtype) {
  switch (dtype) {
    case DataType::float32:
      return ov::element::f32;
    case DataType::uint8:
      return ov::element::u8;
    case DataType::int8:
      return ov::element::i8;
    case DataType::int32:
      return ov::element::i32;
    case DataType::int64:
      return ov::element::i64;
    case DataType::boolean:
      return ov::element::boolean;
    case DataType::float16:
      return ov::element::f16;
    case DataType::float64:
      return ov::element::f64;
  }
  return ov::element::dynamic;
}

/// OpenVINO's messages begin with "Exception from FILE:LINE:"; the reason follows.
std::string reason_of(const std::exception& error) {
  std::string_view message = error.what();
  while (message.substr(0, 15) == "Exception from ") {
    const std::size_t end = message.find('\n');
    if (end == std::string_view::npos) break;
    message.remove_prefix(end + 1);
  }
  return first_line(message);
}

ov::InferRequest open_request(const std::filesystem::path& file, int threads) {
  // By default it computes in bfloat16 where the processor can.
  ov::AnyMap settings{ov::hint::inference_precision(ov::element::f32)};
  if (threads > 0) settings.insert(ov::inference_num_threads(threads));
  try {
    ov::Core core;
    return core.compile_model(core.read_model(file.string()), "CPU", settings).create_infer_request();
  } catch (const std::exception& error) {
    throw Error(file.string(), "OpenVINO does not load it (" + reason_of(error) + ")", "Convert it again");
  }
}

class OpenvinoBackend : public Backend {
 public:
  OpenvinoBackend(const Model& model, int threads)
      : where_(model.files.at(0).string()),
        outputs_(model.outputs),
        request_(open_request(model.files.at(0), threads)) {}

  Tensors run(const Tensors& inputs) override {
    try {
      for (const auto& [name, tensor] : inputs) {
        const ov::Shape shape(tensor.shape.begin(), tensor.shape.end());
        // OpenVINO does not write to inputs; its tensors have no const.
        auto* data = const_cast<std::uint8_t*>(tensor.bytes.data());
        request_.set_tensor(name, ov::Tensor(element_of(tensor.dtype), shape, data));
      }
      request_.infer();
      Tensors outputs;
      for (const TensorSpec& spec : outputs_) outputs[spec.name] = copy(spec, request_.get_tensor(spec.name));
      return outputs;
    } catch (const ov::Exception& error) {
      throw Error(where_, "OpenVINO fails (" + reason_of(error) + ")", "Give a smaller input, or convert it again");
    }
  }

 private:
  Tensor copy(const TensorSpec& spec, const ov::Tensor& result) const {
    if (result.get_element_type() != element_of(spec.dtype)) {
      throw Error(where_ + ", output '" + spec.name + "'",
                  "its element type is not the contract's " + std::string(name_of(spec.dtype)),
                  "Do not use it: convert its source again");
    }
    const ov::Shape shape = result.get_shape();
    Tensor tensor = Tensor::zeros(spec.dtype, Shape(shape.begin(), shape.end()));
    if (!tensor.bytes.empty()) std::memcpy(tensor.bytes.data(), result.data(), tensor.bytes.size());
    return tensor;
  }

  std::string where_;
  std::vector<TensorSpec> outputs_;
  ov::InferRequest request_;
};

}  // namespace

std::string_view backend_name() { return "openvino"; }
std::string_view backend_target() { return "onnx"; }

// Its fusions put back the norms that ganport spells out, and with them some of the error that this avoids.
std::string_view backend_gate() { return "openvino"; }

std::unique_ptr<Backend> open_backend(const Model& model, int threads) {
  return std::make_unique<OpenvinoBackend>(model, threads);
}

}  // namespace ganport
