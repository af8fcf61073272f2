#pragma once

#include <string>
#include <vector>

#include "ganport/tensor.hpp"

namespace ganport {

/// Refuse inputs that do not fit the contract. Throws Error: see Generator::run.
void check_inputs(const std::string& where, const std::vector<TensorSpec>& specs, const Tensors& inputs);

/// Refuse outputs that are not what the contract promises for these inputs, which have been checked.
void check_outputs(const std::string& where, const std::vector<TensorSpec>& specs, const Tensors& outputs,
                   const std::vector<TensorSpec>& input_specs, const Tensors& inputs);

}  // namespace ganport
