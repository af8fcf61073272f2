// MXNet's headers want this one before them.
#include <cstdint>

#include <mxnet/c_api.h>
#include <mxnet/c_predict_api.h>

#include <cstdlib>
#include <limits>
#include <map>

#include "backend.hpp"
#include "ganport/error.hpp"
#include "reason.hpp"
#include "whole_file.hpp"

namespace ganport {
namespace {

constexpr int cpu = 1;
// The C interface counts a .params file's bytes in an int.
constexpr std::uintmax_t largest_params = std::numeric_limits<int>::max();
constexpr std::uintmax_t largest_symbol = 256U << 20U;
constexpr const char* argument_prefix = "arg:";

/// Turn MXNet's last error into ours; a stack trace follows the first line of its message.
void require(int status, const std::string& where, const std::string& met, const char* remedy) {
  if (status != 0) throw Error(where, met + " (" + first_line(MXGetLastError()) + ")", remedy);
}

/// MXNet registers its older operators, Pad among them, only when it is asked for a list; until then a symbol loads
/// without their properties, and no shapes are found.
void register_operators() {
  std::uint32_t count = 0;
  const char** names = nullptr;
  require(MXListAllOpNames(&count, &names), "MXNet", "it does not list its operators", "Use MXNet 1.9.1");
}

/// An object of MXNet's C interface, freed once.
template <int (*Free)(void*)>
class Handle {
 public:
  Handle() = default;
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  ~Handle() { reset(); }

  void* get() const { return handle_; }

  /// Where a new object is to be put, the old one freed.
  void** put() {
    reset();
    return &handle_;
  }

 private:
  void reset() {
    if (handle_ != nullptr) Free(handle_);
    handle_ = nullptr;
  }

  void* handle_ = nullptr;
};

/// MXNet frees on threads of its own, and aborts a program that ends before they are through; so whatever holds its
/// objects waits for them last.
struct Rest {
  ~Rest() { MXNDArrayWaitAll(); }
};

/// Names and shapes of several arrays, as the C interface takes them: all sizes in a row, and where each array's begin.
struct FlatShapes {
  std::vector<const char*> names;
  std::vector<std::uint32_t> starts{0};
  std::vector<std::uint32_t> sizes;

  /// `name` must outlive this.
  void add(const std::string& name, const Shape& shape) {
    names.push_back(name.c_str());
    for (const std::int64_t size : shape) {
      if (size > std::numeric_limits<int>::max()) {
        throw Error("'" + name + "'", "an axis of " + std::to_string(size) + " is longer than MXNet counts",
                    "Give a smaller input");
      }
      sizes.push_back(static_cast<std::uint32_t>(size));
    }
    starts.push_back(static_cast<std::uint32_t>(sizes.size()));
  }

  std::uint32_t count() const { return static_cast<std::uint32_t>(names.size()); }
};

class MxnetBackend : public Backend {
 public:
  MxnetBackend(const Model& model, int threads)
      : inputs_(model.inputs), outputs_(model.outputs), where_(model.files.at(0).string()) {
    if (model.files.size() != 2) throw Error(where_, "its params are not named", "Convert it again");
    params_where_ = model.files[1].string();
    symbol_ = read_whole(model.files[0], largest_symbol);
    params_ = read_whole(model.files[1], largest_params);
    // Else each new shape prints a line.
    setenv("MXNET_SUBGRAPH_VERBOSE", "0", /*overwrite=*/0);
    if (threads > 0) require(MXSetNumOMPThreads(threads), where_, "MXNet takes no thread count", "Leave it out");
    register_operators();
    require(MXSymbolCreateFromJSON(symbol_.c_str(), graph_.put()), where_, "MXNet does not load it",
            "Convert it again");
    read_weight_shapes();
  }

  Tensors run(const Tensors& inputs) override {
    constexpr const char* remedy = "Give a smaller input, or convert it again";
    bind(inputs);
    for (const auto& [name, tensor] : inputs) {
      const auto count = static_cast<std::uint32_t>(tensor.bytes.size() / sizeof(float));
      require(MXPredSetInput(predictor_.get(), name.c_str(), tensor.as<float>(), count), where_, "MXNet fails", remedy);
    }
    require(MXPredForward(predictor_.get()), where_, "MXNet fails", remedy);
    Tensors outputs;
    for (std::size_t i = 0; i < outputs_.size(); ++i) {
      const auto index = static_cast<std::uint32_t>(i);
      std::uint32_t *sizes = nullptr, rank = 0;
      require(MXPredGetOutputShape(predictor_.get(), index, &sizes, &rank), where_, "MXNet fails", remedy);
      Tensor tensor = Tensor::zeros(DataType::float32, Shape(sizes, sizes + rank));
      const auto count = static_cast<std::uint32_t>(tensor.bytes.size() / sizeof(float));
      require(MXPredGetOutput(predictor_.get(), index, tensor.as<float>(), count), where_, "MXNet fails", remedy);
      outputs[outputs_[i].name] = std::move(tensor);
    }
    return outputs;
  }

 private:
  /// The shape of every array in the .params file, by its name without the prefix.
  void read_weight_shapes() {
    Handle<MXNDListFree> list;
    std::uint32_t count = 0;
    require(MXNDListCreate(params_.data(), static_cast<int>(params_.size()), list.put(), &count), params_where_,
            "MXNet does not load it", "Convert it again");
    for (std::uint32_t i = 0; i < count; ++i) {
      const char* name = nullptr;
      const float* data = nullptr;
      const std::uint32_t* sizes = nullptr;
      std::uint32_t rank = 0;
      require(MXNDListGet(list.get(), i, &name, &data, &sizes, &rank), params_where_, "MXNet does not load it",
              "Convert it again");
      const std::string full = name == nullptr ? "" : name;
      if (full.rfind(argument_prefix, 0) != 0) continue;
      weights_[full.substr(std::string_view(argument_prefix).size())] = Shape(sizes, sizes + rank);
    }
  }

  /// A predictor for inputs of these shapes; the last one is kept.
  void bind(const Tensors& inputs) {
    std::vector<Shape> shapes;
    for (const TensorSpec& spec : inputs_) {
      const Tensor& tensor = inputs.at(spec.name);
      if (tensor.dtype != DataType::float32) {
        throw Error(where_ + ", input '" + spec.name + "'", "its dtype is " + std::string(name_of(tensor.dtype)),
                    "MXNet's predict interface takes float32 only: build with another GANPORT_BACKEND");
      }
      shapes.push_back(tensor.shape);
    }
    if (predictor_.get() != nullptr && shapes == bound_) return;
    FlatShapes given;
    for (const TensorSpec& spec : inputs_) given.add(spec.name, inputs.at(spec.name).shape);
    require_weights(given);
    bound_.clear();
    require(MXPredCreate(symbol_.c_str(), params_.data(), static_cast<int>(params_.size()), cpu, 0, given.count(),
                         given.names.data(), given.starts.data(), given.sizes.data(), predictor_.put()),
            where_, "MXNet does not bind it", "Give a smaller input, or convert it again");
    bound_ = std::move(shapes);
  }

  /// MXPredCreate says nothing of an argument that has no weight: it computes with whatever is in memory.
  void require_weights(FlatShapes shapes) const {
    std::uint32_t count = 0;
    const char** names = nullptr;
    require(MXSymbolListArguments(graph_.get(), &count, &names), where_, "MXNet does not list its arguments",
            "Convert it again");
    for (std::uint32_t i = 0; i < count; ++i) {
      if (is_input(names[i])) continue;
      const auto weight = weights_.find(names[i]);
      if (weight == weights_.end()) {
        throw Error(params_where_, "the weight '" + std::string(names[i]) + "' is missing", "Convert it again");
      }
      shapes.add(weight->first, weight->second);
    }
    require_fitting(shapes);
  }

  /// Have MXNet look whether all shapes go together.
  void require_fitting(const FlatShapes& shapes) const {
    const std::vector<int> sizes(shapes.sizes.begin(), shapes.sizes.end());
    std::uint32_t in_count = 0, out_count = 0, aux_count = 0;
    const int *in_ranks = nullptr, *out_ranks = nullptr, *aux_ranks = nullptr;
    const int **in_sizes = nullptr, **out_sizes = nullptr, **aux_sizes = nullptr;
    int complete = 0;
    // MXNet does not write to the names; its interface has no const.
    auto** names = const_cast<const char**>(shapes.names.data());
    require(MXSymbolInferShapeEx(graph_.get(), shapes.count(), names, shapes.starts.data(), sizes.data(), &in_count,
                                 &in_ranks, &in_sizes, &out_count, &out_ranks, &out_sizes, &aux_count, &aux_ranks,
                                 &aux_sizes, &complete),
            where_, "its params do not fit it", "Convert it again");
    if (complete == 0 || out_count != outputs_.size()) {
      throw Error(where_, "MXNet finds other inputs or outputs in it than the contract says", "Convert it again");
    }
  }

  bool is_input(const std::string& name) const {
    for (const TensorSpec& spec : inputs_) {
      if (spec.name == name) return true;
    }
    return false;
  }

  Rest rest_;  // before all others, so that it is destroyed after them
  std::vector<TensorSpec> inputs_, outputs_;
  std::string where_, params_where_;
  std::string symbol_, params_;
  std::map<std::string, Shape> weights_;
  std::vector<Shape> bound_;
  Handle<MXSymbolFree> graph_;
  Handle<MXPredFree> predictor_;
};

}  // namespace

std::string_view backend_name() { return "mxnet"; }
std::string_view backend_target() { return "mxnet"; }
std::string_view backend_gate() { return ""; }

std::unique_ptr<Backend> open_backend(const Model& model, int threads) {
  return std::make_unique<MxnetBackend>(model, threads);
}

}  // namespace ganport
