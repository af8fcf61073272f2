// ganport-selftest: does a bundle compute here what it computed where it was made?
#include <cstdio>

#include "command.hpp"
#include "ganport/error.hpp"
#include "ganport/generator.hpp"

namespace {

int replay(const ganport::Arguments& arguments) {
  const std::string& bundle = arguments.paths[0];
  ganport::Generator generator(bundle, {arguments.threads});
  std::string failures;
  for (const ganport::Replay& replay : generator.replay()) {
    std::printf("%s: max abs error %.1e, gate '%s' %s\n", ganport::on_one_line(replay.output).c_str(), replay.max_abs,
                ganport::on_one_line(replay.gate).c_str(), replay.misses.empty() ? "passed" : "missed");
    for (const std::string& miss : replay.misses) {
      failures += (failures.empty() ? "output '" : "; output '") + replay.output + "': " + miss;
    }
  }
  if (!failures.empty()) {
    throw ganport::Error(bundle,
                         "the golden case gives, in " + std::string(ganport::Generator::runtime()) + ", " + failures,
                         "Do not use it: convert its source again");
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return ganport::run_command({"ganport-selftest", {"BUNDLE"}, "Check BUNDLE's hashes, then replay its golden case."},
                              argc, argv, replay);
}
