#include "ganport/generator.hpp"

#include <set>
#include <utility>

#include "backend.hpp"
#include "contract.hpp"
#include "hashes.hpp"
#include "manifest.hpp"
#include "npy.hpp"
#include "parity.hpp"

namespace ganport {
namespace {

/// The bundle's artifact for this runtime.
const Artifact& find_artifact(const std::filesystem::path& folder, const Manifest& manifest) {
  std::string held;
  for (const Artifact& artifact : manifest.artifacts) {
    if (artifact.target == backend_target() && !artifact.files.empty()) return artifact;
    held += (held.empty() ? "" : ", ") + artifact.target;
  }
  throw Error(
      folder.string(),
      "it holds " + (held.empty() ? "nothing" : held) + ", which " + std::string(backend_name()) + " does not run",
      "Convert with --to " + std::string(backend_target()) + ", or build with another GANPORT_BACKEND");
}

}  // namespace

struct Generator::State {
  std::filesystem::path folder;
  std::set<std::string> files;
  Manifest manifest;
  Artifact artifact;
  std::unique_ptr<Backend> backend;

  /// A file that the hashes vouch for: no name in the manifest leads out of the bundle.
  std::filesystem::path find(const std::string& file) const {
    if (files.count(file) == 0) {
      throw Error(folder.string(), "'" + file + "' is not among its files", "Convert its source again");
    }
    return folder / file;
  }
};

Generator::Generator(const std::filesystem::path& bundle, const Options& options) : state_(std::make_unique<State>()) {
  if (options.threads < 0) throw Error("threads", "it is negative", "Give 0 or more");
  state_->folder = bundle;
  state_->files = verify_hashes(bundle);
  state_->manifest = read_manifest(state_->find("manifest.json"));
  state_->artifact = find_artifact(bundle, state_->manifest);
  Model model{{}, state_->manifest.inputs, state_->manifest.outputs};
  for (const std::string& file : state_->artifact.files) model.files.push_back(state_->find(file));
  state_->backend = open_backend(model, options.threads);
}

Generator::Generator(Generator&&) noexcept = default;
Generator& Generator::operator=(Generator&&) noexcept = default;
Generator::~Generator() = default;

std::string_view Generator::runtime() { return backend_name(); }
const std::string& Generator::architecture() const { return state_->manifest.architecture; }
const std::vector<TensorSpec>& Generator::inputs() const { return state_->manifest.inputs; }
const std::vector<TensorSpec>& Generator::outputs() const { return state_->manifest.outputs; }

Tensors Generator::run(const Tensors& inputs) {
  const std::string where = state_->folder.string();
  check_inputs(where, this->inputs(), inputs);
  Tensors results = state_->backend->run(inputs);
  check_outputs(where, outputs(), results, this->inputs(), inputs);
  return results;
}

std::vector<Replay> Generator::replay() {
  Tensors given, expected;
  for (const TensorSpec& spec : inputs()) {
    given[spec.name] = read_npy(state_->find("golden/input_" + spec.name + ".npy"));
  }
  for (const TensorSpec& spec : outputs()) {
    expected[spec.name] = read_npy(state_->find("golden/output_" + spec.name + ".npy"));
  }
  const Tensors actual = run(given);
  std::vector<Replay> replays;
  for (const TensorSpec& spec : outputs()) {
    const Tensor &ours = actual.at(spec.name), &golden = expected.at(spec.name);
    const std::string at = state_->folder.string() + ", output '" + spec.name + "'";
    if (ours.dtype != golden.dtype || ours.shape != golden.shape) {
      throw Error(at,
                  "it is " + std::string(name_of(ours.dtype)) + " " + format_shape(ours.shape) + ", golden " +
                      std::string(name_of(golden.dtype)) + " " + format_shape(golden.shape),
                  "Do not use it: convert its source again");
    }
    const auto own = state_->manifest.own_gates.find(spec.name);
    const std::string gate = own != state_->manifest.own_gates.end() ? own->second
                             : backend_gate().empty()                ? state_->artifact.gate
                                                                     : std::string(backend_gate());
    const auto limits = state_->manifest.gates.find(gate);
    if (limits == state_->manifest.gates.end()) {
      throw Error(at, "the manifest has no gate '" + gate + "'", "Convert its source again");
    }
    const Metrics metrics = measure(ours, golden, state_->manifest.relative.count(spec.name) ? unit_of(golden) : 1);
    replays.push_back({spec.name, metrics.max_abs, gate, find_misses(metrics, limits->second)});
  }
  return replays;
}

}  // namespace ganport
