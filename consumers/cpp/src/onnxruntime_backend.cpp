// The C++ wrapper would fetch its function table in a static initializer, and crash on it if the library is older
// than the headers; so it is fetched by hand, and looked at.
#define ORT_API_MANUAL_INIT
#include <onnxruntime_cxx_api.h>

#include <cstdlib>
#include <cstring>
#include <mutex>

#include "backend.hpp"
#include "ganport/error.hpp"
#include "reason.hpp"

namespace ganport {
namespace {

/// Fetch the function table, once.
void require_api() {
  static std::once_flag once;
  std::call_once(once, [] {
    const OrtApiBase* base = OrtGetApiBase();
    const std::string version = base->GetVersionString();
    // "1.21.0": the second number is the newest table that the library has. Asked for a newer one, it prints a line
    // of its own before it gives none.
    const std::size_t dot = version.find('.');
    const int newest = dot == std::string::npos ? 0 : std::atoi(version.c_str() + dot + 1);
    const OrtApi* api = newest < ORT_API_VERSION ? nullptr : base->GetApi(ORT_API_VERSION);
    if (api == nullptr) {
      throw Error(
          "ONNX Runtime",
          "the library is " + version + ", the headers it was built with are of 1." + std::to_string(ORT_API_VERSION),
          "Use headers and library of one release: set ONNXRUNTIME_ROOT and build again");
    }
    Ort::InitApi(api);
  });
}

ONNXTensorElementDataType element_of(DataType dtype) {
  switch (dtype) {
    case DataType::float32:
      return ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
    case DataType::uint8:
      return ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8;
    case DataType::int8:
      return ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8;
    case DataType::int32:
      return ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32;
    case DataType::int64:
      return ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64;
    case DataType::boolean:
      return ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL;
    case DataType::float16:
      return ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16;
    case DataType::float64:
      return ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE;
  }
  return ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
}

Ort::Session open_session(const Ort::Env& env, const std::filesystem::path& file, int threads) {
  Ort::SessionOptions options;
  options.SetLogSeverityLevel(ORT_LOGGING_LEVEL_FATAL);
  if (threads > 0) options.SetIntraOpNumThreads(threads);
  try {
    return {env, file.c_str(), options};
  } catch (const Ort::Exception& error) {
    throw Error(file.string(), "ONNX Runtime does not load it (" + first_line(error.what()) + ")", "Convert it again");
  }
}

class OnnxruntimeBackend : public Backend {
 public:
  OnnxruntimeBackend(const Model& model, int threads)
      : where_(model.files.at(0).string()),
        inputs_(model.inputs),
        outputs_(model.outputs),
        env_(ORT_LOGGING_LEVEL_FATAL, "ganport"),
        session_(open_session(env_, model.files.at(0), threads)) {}

  Tensors run(const Tensors& inputs) override {
    try {
      return run_session(inputs);
    } catch (const Ort::Exception& error) {
      throw Error(where_, "ONNX Runtime fails (" + first_line(error.what()) + ")",
                  "Give a smaller input, or convert it again");
    }
  }

 private:
  Tensors run_session(const Tensors& inputs) {
    const auto memory = Ort::MemoryInfo::CreateCpu(OrtDeviceAllocator, OrtMemTypeDefault);
    std::vector<Ort::Value> values;
    std::vector<const char*> input_names, output_names;
    for (const TensorSpec& spec : inputs_) {
      const Tensor& tensor = inputs.at(spec.name);
      // ONNX Runtime does not write to inputs; its C interface has no const.
      auto* data = const_cast<std::uint8_t*>(tensor.bytes.data());
      values.push_back(Ort::Value::CreateTensor(memory, data, tensor.bytes.size(), tensor.shape.data(),
                                                tensor.shape.size(), element_of(tensor.dtype)));
      input_names.push_back(spec.name.c_str());
    }
    for (const TensorSpec& spec : outputs_) output_names.push_back(spec.name.c_str());
    const auto results = session_.Run(Ort::RunOptions{nullptr}, input_names.data(), values.data(), values.size(),
                                      output_names.data(), output_names.size());
    Tensors outputs;
    for (std::size_t i = 0; i < outputs_.size(); ++i) outputs[outputs_[i].name] = copy(outputs_[i], results[i]);
    return outputs;
  }

  Tensor copy(const TensorSpec& spec, const Ort::Value& value) const {
    const auto facts = value.GetTensorTypeAndShapeInfo();
    if (facts.GetElementType() != element_of(spec.dtype)) {
      throw Error(where_ + ", output '" + spec.name + "'",
                  "its element type is not the contract's " + std::string(name_of(spec.dtype)),
                  "Do not use it: convert its source again");
    }
    Tensor tensor = Tensor::zeros(spec.dtype, facts.GetShape());
    if (!tensor.bytes.empty()) std::memcpy(tensor.bytes.data(), value.GetTensorRawData(), tensor.bytes.size());
    return tensor;
  }

  std::string where_;
  std::vector<TensorSpec> inputs_, outputs_;
  Ort::Env env_;
  Ort::Session session_;
};

}  // namespace

std::string_view backend_name() { return "onnxruntime"; }
std::string_view backend_target() { return "onnx"; }
std::string_view backend_gate() { return ""; }

std::unique_ptr<Backend> open_backend(const Model& model, int threads) {
  require_api();
  return std::make_unique<OnnxruntimeBackend>(model, threads);
}

}  // namespace ganport
