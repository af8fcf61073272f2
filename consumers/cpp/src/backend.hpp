#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "ganport/tensor.hpp"

namespace ganport {

/// A loaded model in one runtime. Each runtime has one source file, which defines everything declared here; the
/// build compiles exactly one of them.
class Backend {
 public:
  virtual ~Backend() = default;

  /// The outputs for inputs that fit the contract. Throws Error: the runtime fails.
  virtual Tensors run(const Tensors& inputs) = 0;
};

/// What the backend is opened on.
struct Model {
  /// The artifact's files, in the manifest's order.
  std::vector<std::filesystem::path> files;
  std::vector<TensorSpec> inputs;
  std::vector<TensorSpec> outputs;
};

/// As in -DGANPORT_BACKEND.
std::string_view backend_name();

/// The conversion target whose files the runtime reads.
std::string_view backend_target();

/// The gate that the runtime is held to, if it is not that of the target.
std::string_view backend_gate();

/// Throws Error: the runtime does not load the files.
std::unique_ptr<Backend> open_backend(const Model& model, int threads);

}  // namespace ganport
