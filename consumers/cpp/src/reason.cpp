#include "reason.hpp"

namespace ganport {

std::string first_line(std::string_view message) {
  constexpr std::string_view blank = " \t\r\n";
  const std::size_t start = message.find_first_not_of(blank);
  if (start == std::string_view::npos) return "no reason given";
  std::string_view line = message.substr(start, message.find_first_of("\r\n", start) - start);
  line = line.substr(0, line.find_last_not_of(" \t.") + 1);
  return line.empty() ? "no reason given" : std::string(line);
}

}  // namespace ganport
