// run_arrays BUNDLE IN OUT: run the arrays IN/NAME.npy, and write each output's bytes to OUT/NAME.bin.
#include <fstream>

#include "command.hpp"
#include "ganport/generator.hpp"
#include "npy.hpp"

namespace {

int run_arrays(const ganport::Arguments& arguments) {
  namespace fs = std::filesystem;
  ganport::Generator generator(arguments.paths[0], {arguments.threads});
  ganport::Tensors inputs;
  for (const auto& entry : fs::directory_iterator(arguments.paths[1])) {
    inputs[entry.path().stem().string()] = ganport::read_npy(entry.path());
  }
  for (const auto& [name, tensor] : generator.run(inputs)) {
    std::ofstream file(fs::path(arguments.paths[2]) / (name + ".bin"), std::ios::binary);
    file.write(reinterpret_cast<const char*>(tensor.bytes.data()), static_cast<std::streamsize>(tensor.bytes.size()));
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return ganport::run_command({"run_arrays", {"BUNDLE", "IN", "OUT"}, "Run arrays."}, argc, argv, run_arrays);
}
