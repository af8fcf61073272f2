#pragma once

#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "ganport/tensor.hpp"
#include "parity.hpp"

namespace ganport {

/// What one target wrote, in the order in which its runtime takes the files.
struct Artifact {
  std::string target;
  std::string gate;
  std::vector<std::string> files;
};

/// What a bundle says about itself, as far as a consumer needs it.
struct Manifest {
  std::string architecture;
  std::vector<TensorSpec> inputs;
  std::vector<TensorSpec> outputs;
  std::vector<Artifact> artifacts;
  /// Limits by the gate's name.
  std::map<std::string, Gate> gates;
  /// Outputs that are held to a gate of their own, instead of the artifact's.
  std::map<std::string, std::string> own_gates;
  /// Outputs whose errors are in units of the largest golden magnitude.
  std::set<std::string> relative;
};

/// Throws Error: the file is no manifest, lacks something, or is of another schema.
Manifest read_manifest(const std::filesystem::path& path);

}  // namespace ganport
