#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace ganport {

/// A regular file's bytes. Throws Error: it is missing, no regular file, unreadable, or larger than `most` bytes.
std::string read_whole(const std::filesystem::path& path, std::uintmax_t most);

}  // namespace ganport
