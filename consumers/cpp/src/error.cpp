#include "ganport/error.hpp"

#include <string>

namespace ganport {
namespace {

/// File names and runtimes' messages may hold line breaks; an error is one line all the same.
std::string on_one_line(std::string text) {
  for (char& c : text) {
    const auto code = static_cast<unsigned char>(c);
    if (code < 0x20 || code == 0x7f) c = ' ';
  }
  return text;
}

}  // namespace

Error::Error(std::string_view where, std::string_view met, std::string_view remedy)
    : std::runtime_error(on_one_line(std::string(where) + ": " + std::string(met) + ". " + std::string(remedy) + ".")) {
}

}  // namespace ganport
