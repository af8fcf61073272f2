#pragma once

#include <functional>
#include <string>
#include <vector>

namespace ganport {

/// A program's name and what it takes.
struct Command {
  std::string name;
  /// The paths' names, as the usage line shows them.
  std::vector<std::string> paths;
  std::string purpose;
};

/// What was given on the command line.
struct Arguments {
  std::vector<std::string> paths;
  int threads = 0;
};

/// Parse the arguments and run the body; the program's exit code.
///
/// 1 and one line on stderr where the body throws, 2 and the usage line where the arguments do not fit.
int run_command(const Command& command, int argc, char** argv, const std::function<int(const Arguments&)>& body);

}  // namespace ganport
