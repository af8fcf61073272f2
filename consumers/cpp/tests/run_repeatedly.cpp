// run_repeatedly BUNDLE RUNS SIDE: run one case over and over, and print the resident memory, in bytes, after each run.
#include <unistd.h>

#include <cstdio>
#include <fstream>

#include "command.hpp"
#include "ganport/generator.hpp"

namespace {

long read_resident_bytes() {
  long total_pages = 0, resident_pages = 0;
  std::ifstream("/proc/self/statm") >> total_pages >> resident_pages;
  return resident_pages * sysconf(_SC_PAGESIZE);
}

int run_repeatedly(const ganport::Arguments& arguments) {
  ganport::Generator generator(arguments.paths[0], {arguments.threads});
  const long runs = std::stol(arguments.paths[1]), side = std::stol(arguments.paths[2]);
  ganport::Tensors inputs;
  for (const auto& spec : generator.inputs()) {
    ganport::Shape shape;
    for (const auto& axis : spec.shape) shape.push_back(axis.name.empty() ? axis.size : axis.name == "N" ? 1 : side);
    ganport::Tensor tensor = ganport::Tensor::zeros(spec.dtype, shape);
    // Any picture will do, but a flat one: its norms would divide by nothing.
    for (std::size_t i = 0; i < tensor.bytes.size() / sizeof(float); ++i) {
      tensor.as<float>()[i] = static_cast<float>(i * 37 % 101) / 100;
    }
    inputs[spec.name] = std::move(tensor);
  }
  for (long run = 0; run < runs; ++run) {
    generator.run(inputs);
    std::printf("%ld\n", read_resident_bytes());
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return ganport::run_command({"run_repeatedly", {"BUNDLE", "RUNS", "SIDE"}, "Run one case over and over."}, argc, argv,
                              run_repeatedly);
}
