#include "contract.hpp"

#include <map>

#include "ganport/error.hpp"
#include "sizes.hpp"

namespace ganport {
namespace {

constexpr const char* batch_axis = "N";

using Sizes = std::map<std::string, std::int64_t>;

template <typename Items, typename Name>
std::string list_names(const Items& items, Name name) {
  std::string text;
  for (const auto& item : items) text += (text.empty() ? "'" : ", '") + name(item) + "'";
  return text.empty() ? "none" : text;
}

void check_names(const std::string& where, const std::vector<TensorSpec>& specs, const Tensors& inputs) {
  bool same = inputs.size() == specs.size();
  for (const TensorSpec& spec : specs) same = same && inputs.count(spec.name) == 1;
  if (same) return;
  const std::string given = list_names(inputs, [](const auto& item) { return item.first; });
  const std::string wanted = list_names(specs, [](const TensorSpec& spec) { return spec.name; });
  throw Error(where, "the inputs given are " + given, "Give exactly " + wanted);
}

/// The type, the rank, and that the bytes are as many as the shape says.
void check_layout(const std::string& at, const TensorSpec& spec, const Tensor& tensor) {
  if (tensor.dtype != spec.dtype) {
    throw Error(at, "its dtype is " + std::string(name_of(tensor.dtype)),
                "Convert it to " + std::string(name_of(spec.dtype)));
  }
  const std::string met = "its shape is " + format_shape(tensor.shape);
  if (tensor.shape.size() != spec.shape.size()) {
    throw Error(at, met, "Give " + std::to_string(spec.shape.size()) + " axes " + format_shape(spec.shape));
  }
  const auto bytes = count_bytes(tensor.dtype, tensor.shape);
  if (!bytes || *bytes != tensor.bytes.size()) {
    throw Error(at, met + ", its bytes are " + std::to_string(tensor.bytes.size()), "Make both agree");
  }
}

void check_named_size(const std::string& at, const TensorSpec& spec, std::size_t index, std::int64_t size) {
  const std::string& axis = spec.shape[index].name;
  if (axis == batch_axis || (index == 0 && spec.shape.size() > 2)) {
    if (size < 1) throw Error(at, "its size " + axis + " is " + std::to_string(size), "Give at least one item");
  } else if (size < spec.minimum || size % spec.multiple_of != 0) {
    throw Error(at, "its size " + axis + " is " + std::to_string(size),
                "Pad it to a multiple of " + std::to_string(spec.multiple_of) + ", " + std::to_string(spec.minimum) +
                    " or more");
  }
}

/// Every axis against the contract and against what the same name stood for before.
void check_sizes(const std::string& at, const TensorSpec& spec, const Tensor& tensor, Sizes& sizes) {
  for (std::size_t i = 0; i < spec.shape.size(); ++i) {
    const Axis& axis = spec.shape[i];
    const std::int64_t size = tensor.shape[i];
    if (axis.name.empty()) {
      if (size != axis.size) {
        throw Error(at, "its shape is " + format_shape(tensor.shape), "Give " + format_shape(spec.shape));
      }
      continue;
    }
    const auto [known, is_new] = sizes.emplace(axis.name, size);
    if (!is_new && known->second != size) {
      throw Error(at,
                  "its size " + axis.name + " is " + std::to_string(size) + ", another input's is " +
                      std::to_string(known->second),
                  "Give all inputs the same N, H and W");
    }
    check_named_size(at, spec, i, size);
  }
}

}  // namespace

void check_inputs(const std::string& where, const std::vector<TensorSpec>& specs, const Tensors& inputs) {
  check_names(where, specs, inputs);
  Sizes sizes;
  for (const TensorSpec& spec : specs) {
    const std::string at = where + ", input '" + spec.name + "'";
    check_layout(at, spec, inputs.at(spec.name));
    check_sizes(at, spec, inputs.at(spec.name), sizes);
  }
}

void check_outputs(const std::string& where, const std::vector<TensorSpec>& specs, const Tensors& outputs,
                   const std::vector<TensorSpec>& input_specs, const Tensors& inputs) {
  Sizes sizes;
  for (const TensorSpec& spec : input_specs) {
    for (std::size_t i = 0; i < spec.shape.size(); ++i) {
      sizes.emplace(spec.shape[i].name, inputs.at(spec.name).shape[i]);
    }
  }
  for (const TensorSpec& spec : specs) {
    const Tensor& tensor = outputs.at(spec.name);
    bool fits = tensor.dtype == spec.dtype && tensor.shape.size() == spec.shape.size();
    for (std::size_t i = 0; fits && i < spec.shape.size(); ++i) {
      const Axis& axis = spec.shape[i];
      const auto known = sizes.find(axis.name);
      fits =
          axis.name.empty() ? tensor.shape[i] == axis.size : known == sizes.end() || tensor.shape[i] == known->second;
    }
    if (!fits) {
      throw Error(where + ", output '" + spec.name + "'",
                  "the file gives " + std::string(name_of(tensor.dtype)) + " " + format_shape(tensor.shape) +
                      ", the contract says " + std::string(name_of(spec.dtype)) + " " + format_shape(spec.shape),
                  "Do not use it: convert its source again");
    }
  }
}

}  // namespace ganport
