#include "command.hpp"

#include <cstdio>
#include <exception>
#include <new>
#include <optional>

#include "ganport/error.hpp"

namespace ganport {
namespace {

constexpr int failed = 1;
constexpr int wrong_usage = 2;
constexpr int most_threads = 4096;

std::string format_usage(const Command& command) {
  std::string usage = "usage: " + command.name + " [--threads N]";
  for (const std::string& path : command.paths) usage += " " + path;
  return usage;
}

std::optional<int> read_threads(const std::string& text) {
  if (text.empty() || text.size() > 4 || text.find_first_not_of("0123456789") != std::string::npos) return std::nullopt;
  const int threads = std::stoi(text);
  return threads >= 1 && threads <= most_threads ? std::optional(threads) : std::nullopt;
}

/// Nothing if the arguments do not fit; `wrong` then says why, where the usage line does not.
std::optional<Arguments> parse(const Command& command, int argc, char** argv, std::string& wrong) {
  Arguments arguments;
  bool only_paths = false;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (!only_paths && argument == "--") {
      only_paths = true;
    } else if (!only_paths && argument == "--threads") {
      const std::string given = i + 1 < argc ? argv[++i] : "";
      const auto threads = read_threads(given);
      if (!threads) {
        wrong = "--threads takes a number from 1 to " + std::to_string(most_threads) + ", not '" + given + "'";
        return std::nullopt;
      }
      arguments.threads = *threads;
    } else if (!only_paths && argument.size() > 1 && argument[0] == '-') {
      return std::nullopt;
    } else {
      arguments.paths.push_back(argument);
    }
  }
  return arguments.paths.size() == command.paths.size() ? std::optional(arguments) : std::nullopt;
}

}  // namespace

int run_command(const Command& command, int argc, char** argv, const std::function<int(const Arguments&)>& body) {
  const char* name = command.name.c_str();
  if (argc == 2 && (std::string(argv[1]) == "--help" || std::string(argv[1]) == "-h")) {
    std::printf("%s\n%s\n", format_usage(command).c_str(), command.purpose.c_str());
    return 0;
  }
  std::string wrong;
  const auto arguments = parse(command, argc, argv, wrong);
  if (!arguments) {
    if (!wrong.empty()) std::fprintf(stderr, "%s: %s\n", name, on_one_line(wrong).c_str());
    std::fprintf(stderr, "%s: %s\n", name, format_usage(command).c_str());
    return wrong_usage;
  }
  try {
    return body(*arguments);
  } catch (const Error& error) {
    std::fprintf(stderr, "%s: %s\n", name, error.what());
  } catch (const std::bad_alloc&) {
    std::fprintf(stderr, "%s: there is not enough memory. Give a smaller input.\n", name);
  } catch (const std::exception& error) {
    // Whatever comes here was not foreseen; Error puts it on one line.
    std::fprintf(stderr, "%s: %s\n", name, Error("unforeseen", error.what(), "Please report it").what());
  }
  return failed;
}

}  // namespace ganport
