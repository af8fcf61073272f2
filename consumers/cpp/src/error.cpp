#include "ganport/error.hpp"

#include <string>

namespace ganport {
namespace {

/// How many bytes at `text[i]` a terminal would act on: a control character, or a mark that breaks or turns a line.
std::size_t count_control_bytes(std::string_view text, std::size_t i) {
  const auto byte = [&](std::size_t at) { return at < text.size() ? static_cast<unsigned char>(text[at]) : 0; };
  const auto first = byte(i), second = byte(i + 1), third = byte(i + 2);
  if (first < 0x20 || first == 0x7f) return 1;
  if (first == 0xc2 && second >= 0x80 && second <= 0x9f) return 2;  // U+0080 to U+009F
  if (first != 0xe2) return 0;
  if (second == 0x80 && (third == 0x8e || third == 0x8f || (third >= 0xa8 && third <= 0xae))) return 3;
  return second == 0x81 && third >= 0xa6 && third <= 0xa9 ? 3 : 0;
}

}  // namespace

std::string on_one_line(std::string_view text) {
  std::string line;
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t control = count_control_bytes(text, i);
    line += control == 0 ? text[i] : ' ';
    i += control == 0 ? 1 : control;
  }
  return line;
}

Error::Error(std::string_view where, std::string_view met, std::string_view remedy)
    : std::runtime_error(on_one_line(std::string(where) + ": " + std::string(met) + ". " + std::string(remedy) + ".")) {
}

}  // namespace ganport
