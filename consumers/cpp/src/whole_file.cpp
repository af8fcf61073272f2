#include "whole_file.hpp"

#include <cerrno>
#include <cstring>
#include <fstream>

#include "ganport/error.hpp"

namespace ganport {

std::string read_whole(const std::filesystem::path& path, std::uintmax_t most) {
  std::error_code code;
  const auto status = std::filesystem::status(path, code);
  if (status.type() == std::filesystem::file_type::not_found) {
    throw Error(path.string(), "there is no such file", "Check the path");
  }
  if (!std::filesystem::is_regular_file(status)) throw Error(path.string(), "it is no regular file", "Name a file");
  const auto size = std::filesystem::file_size(path, code);
  if (code) throw Error(path.string(), "it cannot be read (" + code.message() + ")", "Check its permissions");
  if (size > most) {
    throw Error(path.string(), "its " + std::to_string(size) + " bytes are more than such a file has",
                "Name another file");
  }
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    throw Error(path.string(), "it cannot be read (" + std::string(std::strerror(errno)) + ")",
                "Check its permissions");
  }
  std::string bytes(static_cast<std::size_t>(size), '\0');
  file.read(bytes.data(), static_cast<std::streamsize>(size));
  if (static_cast<std::uintmax_t>(file.gcount()) != size) {
    throw Error(path.string(), "it was cut while it was read", "Try again");
  }
  return bytes;
}

}  // namespace ganport
