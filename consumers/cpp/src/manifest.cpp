// The only file that knows the JSON library, whose header is large.
#include "manifest.hpp"

#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "ganport/error.hpp"
#include "whole_file.hpp"

namespace ganport {
namespace {

using Json = nlohmann::json;

constexpr std::int64_t schema_version = 1;
constexpr std::uintmax_t largest_manifest = 64U << 20U;
constexpr const char* convert_again = "Convert its source again";

/// A value and the way to it, so that an error can say where it was: "contract.inputs[0].shape".
class Node {
 public:
  Node(const std::filesystem::path& file, const Json& value, std::string way = "")
      : file_(file), value_(value), way_(std::move(way)) {}

  Node at(const char* key) const {
    const std::string way = way_.empty() ? key : way_ + "." + key;
    if (!value_.is_object() || !value_.contains(key)) {
      throw Error(file_.string(), "it lacks " + way, convert_again);
    }
    return {file_, value_.at(key), way};
  }

  bool has(const char* key) const { return value_.is_object() && value_.contains(key); }

  std::vector<Node> items() const {
    if (!value_.is_array()) refuse("a list");
    std::vector<Node> nodes;
    for (std::size_t i = 0; i < value_.size(); ++i) {
      nodes.emplace_back(file_, value_[i], way_ + "[" + std::to_string(i) + "]");
    }
    return nodes;
  }

  std::map<std::string, Node> members() const {
    if (!value_.is_object()) refuse("an object");
    std::map<std::string, Node> nodes;
    for (const auto& [key, value] : value_.items()) nodes.emplace(key, Node(file_, value, way_ + "." + key));
    return nodes;
  }

  std::string text() const {
    if (!value_.is_string()) refuse("a text");
    return value_.get<std::string>();
  }

  std::int64_t whole() const {
    // A larger unsigned number would wrap around.
    constexpr auto most = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
    if (!value_.is_number_integer() || (value_.is_number_unsigned() && value_.get<std::uint64_t>() > most)) {
      refuse("a whole number");
    }
    return value_.get<std::int64_t>();
  }

  bool truth() const {
    if (!value_.is_boolean()) refuse("true or false");
    return value_.get<bool>();
  }

  std::optional<double> number_or_null() const {
    if (value_.is_null()) return std::nullopt;
    if (!value_.is_number()) refuse("a number or null");
    return value_.get<double>();
  }

  bool is_text() const { return value_.is_string(); }
  bool is_null() const { return value_.is_null(); }

  [[noreturn]] void refuse(const std::string& wanted, const std::string& remedy = convert_again) const {
    throw Error(file_.string(), way_ + " is not " + wanted, remedy);
  }

 private:
  const std::filesystem::path& file_;
  const Json& value_;
  std::string way_;
};

DataType read_dtype(const Node& node) {
  const std::string name = node.text();
  std::string known;
  for (const DataType dtype : data_types) {
    if (name_of(dtype) == name) return dtype;
    known += (known.empty() ? "" : ", ") + std::string(name_of(dtype));
  }
  node.refuse("one of " + known, "This library knows no other types: run the bundle in another runtime");
}

std::int64_t read_positive(const Node& node) {
  const std::int64_t number = node.whole();
  if (number < 1) node.refuse("1 or more");
  return number;
}

std::vector<TensorSpec> read_specs(const Node& node) {
  std::vector<TensorSpec> specs;
  std::set<std::string> names;
  for (const Node& fields : node.items()) {
    TensorSpec spec;
    spec.name = fields.at("name").text();
    if (!names.insert(spec.name).second) fields.at("name").refuse("unique");
    spec.dtype = read_dtype(fields.at("dtype"));
    for (const Node& axis : fields.at("shape").items()) {
      spec.shape.push_back(axis.is_text() ? Axis{axis.text(), 0} : Axis{"", read_positive(axis)});
      if (axis.is_text() && axis.text().empty()) axis.refuse("a name or a size");
    }
    spec.layout = fields.at("layout").text();
    spec.meaning = fields.at("meaning").text();
    spec.multiple_of = read_positive(fields.at("multiple_of"));
    spec.minimum = read_positive(fields.at("minimum"));
    specs.push_back(std::move(spec));
  }
  if (specs.empty()) node.refuse("a list of tensors");
  return specs;
}

Gate read_gate(const Node& fields) {
  return {fields.at("max_abs").number_or_null(), fields.at("p99_9").number_or_null(),
          fields.at("psnr_db").number_or_null()};
}

Manifest read_fields(const Node& root) {
  Manifest manifest;
  manifest.architecture = root.at("architecture").text();
  manifest.inputs = read_specs(root.at("contract").at("inputs"));
  manifest.outputs = read_specs(root.at("contract").at("outputs"));
  for (const Node& fields : root.at("artifacts").items()) {
    Artifact artifact{fields.at("target").text(), fields.at("gate").text(), {}};
    for (const Node& file : fields.at("files").items()) artifact.files.push_back(file.text());
    manifest.artifacts.push_back(std::move(artifact));
  }
  for (const auto& [name, fields] : root.at("gates").members()) manifest.gates.emplace(name, read_gate(fields));
  for (const auto& [output, fields] : root.at("judging").members()) {
    const Node gate = fields.at("gate");
    if (!gate.is_null()) manifest.own_gates.emplace(output, gate.text());
    // Bundles of before foreign ONNX files were converted do not have it.
    if (fields.has("relative") && fields.at("relative").truth()) manifest.relative.insert(output);
  }
  return manifest;
}

}  // namespace

Manifest read_manifest(const std::filesystem::path& path) {
  const std::string bytes = read_whole(path, largest_manifest);
  const Json json = Json::parse(bytes, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) throw Error(path.string(), "it is no manifest", convert_again);
  const Node root(path, json);
  const std::int64_t version = root.at("schema_version").whole();
  if (version != schema_version) {
    throw Error(path.string(),
                "its schema version is " + std::to_string(version) + ", known is " + std::to_string(schema_version),
                "Update ganport's C++ library");
  }
  return read_fields(root);
}

}  // namespace ganport
