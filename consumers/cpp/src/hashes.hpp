#pragma once

#include <filesystem>
#include <set>
#include <string>

namespace ganport {

/// Compare SHA256SUMS byte for byte with what the bundle's files give.
///
/// Returns the files that it vouches for, relative to `folder`, SHA256SUMS itself left out.
/// Throws Error: names each file that is missing, not listed, altered, or not regular (links are not followed).
std::set<std::string> verify_hashes(const std::filesystem::path& folder);

}  // namespace ganport
