#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "ganport/error.hpp"
#include "ganport/tensor.hpp"

namespace ganport {

/// How a bundle is opened.
struct Options {
  /// Size of the runtime's thread pool; 0 leaves the choice to the runtime.
  int threads = 0;
};

/// One output of the golden case: how far it is from the untouched PyTorch module's, and the gate it was held to.
struct Replay {
  std::string output;
  double max_abs = 0;
  std::string gate;
  /// A sentence for each limit of the gate that is passed; none means that the output is reproduced.
  std::vector<std::string> misses;
};

/// A bundle, checked and loaded, in the one runtime that this library was built for.
///
/// It is not safe to use one Generator from two threads at once.
class Generator {
 public:
  /// Check every file of the bundle against SHA256SUMS, read its contract, and load its file for this runtime.
  ///
  /// Throws Error: a file is missing, altered, unlisted or not regular; the manifest is of another schema, or
  /// damaged; the bundle holds no file for this runtime; the runtime does not load it.
  explicit Generator(const std::filesystem::path& bundle, const Options& options = {});
  Generator(Generator&&) noexcept;
  Generator& operator=(Generator&&) noexcept;
  ~Generator();

  /// The runtime that was chosen when the library was built: "onnxruntime", "mxnet" or "openvino".
  static std::string_view runtime();

  /// Name of what was converted, as "edgeconnect-inpaint".
  const std::string& architecture() const;
  const std::vector<TensorSpec>& inputs() const;
  const std::vector<TensorSpec>& outputs() const;

  /// The outputs by name.
  ///
  /// Throws Error: an input is missing, unknown, or of a type, rank or size that the contract does not allow; the
  /// runtime fails.
  Tensors run(const Tensors& inputs);

  /// Run the golden case that the bundle carries.
  ///
  /// Throws Error: its arrays are damaged or do not fit the contract.
  std::vector<Replay> replay();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace ganport
