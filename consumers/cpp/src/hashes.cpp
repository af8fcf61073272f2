#include "hashes.hpp"

#include <openssl/evp.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <map>
#include <memory>
#include <vector>

#include "ganport/error.hpp"
#include "whole_file.hpp"

namespace ganport {
namespace {

namespace fs = std::filesystem;

constexpr const char* sums_file = "SHA256SUMS";
constexpr std::uintmax_t largest_sums = 16U << 20U;
constexpr const char* distrust = "Do not use it: fetch or convert it again";

/// Hex digits of a file's sha256.
std::string hash_file(const fs::path& path) {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    throw Error(path.string(), "cannot be read (" + std::string(std::strerror(errno)) + ")", "Check its permissions");
  }
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), &EVP_MD_CTX_free);
  bool sound = context && EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr) == 1;
  std::vector<char> block(1U << 20U);
  while (sound && file) {
    file.read(block.data(), static_cast<std::streamsize>(block.size()));
    sound = EVP_DigestUpdate(context.get(), block.data(), static_cast<std::size_t>(file.gcount())) == 1;
  }
  if (file.bad()) throw Error(path.string(), "cannot be read to its end", "Check the disk");
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  if (!sound || EVP_DigestFinal_ex(context.get(), digest, &size) != 1) {
    throw Error(path.string(), "libcrypto does not hash it", "Check that libcrypto offers SHA-256");
  }
  constexpr const char* digits = "0123456789abcdef";
  std::string hex;
  for (unsigned int i = 0; i < size; ++i) {
    hex += digits[digest[i] >> 4U];
    hex += digits[digest[i] & 15U];
  }
  return hex;
}

/// Every file below `folder`, sorted.
std::set<std::string> list_files(const fs::path& folder) {
  std::set<std::string> files;
  std::error_code code;
  fs::recursive_directory_iterator entry(folder, code);
  for (; !code && entry != fs::recursive_directory_iterator(); entry.increment(code)) {
    const auto type = entry->symlink_status(code).type();
    if (code || type == fs::file_type::directory) continue;
    const std::string file = entry->path().lexically_relative(folder).generic_string();
    if (type != fs::file_type::regular) throw Error(folder.string(), "'" + file + "' is no regular file", distrust);
    files.insert(file);
  }
  if (code) throw Error(folder.string(), "cannot be read (" + code.message() + ")", "Check its permissions");
  return files;
}

/// One line, as sha256sum writes it: a name that would break it is escaped.
std::string format_sum(const std::string& sha256, const std::string& file) {
  std::string escaped;
  for (const char c : file) {
    if (c == '\\') {
      escaped += "\\\\";
    } else if (c == '\n') {
      escaped += "\\n";
    } else if (c == '\r') {
      escaped += "\\r";
    } else {
      escaped += c;
    }
  }
  return (escaped == file ? "" : "\\") + sha256 + "  " + escaped + "\n";
}

/// Hash by file name; a line of another form is a file of its own, which is then missing.
std::map<std::string, std::string> parse_sums(const std::string& text) {
  std::map<std::string, std::string> sums;
  for (std::size_t start = 0; start < text.size();) {
    const std::size_t end = std::min(text.find('\n', start), text.size());
    const std::string line = text.substr(start, end - start);
    const std::size_t gap = std::min(line.find("  "), line.size());
    sums[line.substr(std::min(gap + 2, line.size()))] = line.substr(0, gap);
    start = end + 1;
  }
  return sums;
}

}  // namespace

std::set<std::string> verify_hashes(const fs::path& folder) {
  std::error_code code;
  if (!fs::is_directory(folder, code)) throw Error(folder.string(), "it is no folder", "Name a bundle's folder");
  std::set<std::string> files = list_files(folder);
  if (files.erase(sums_file) == 0) {
    throw Error(folder.string(), "it holds no " + std::string(sums_file),
                "It is no complete bundle: convert its source again");
  }
  const std::string recorded = read_whole(folder / sums_file, largest_sums);
  std::string computed;
  for (const std::string& file : files) computed += format_sum(hash_file(folder / file), file);
  if (recorded == computed) return files;

  const auto listed = parse_sums(recorded), present = parse_sums(computed);
  std::string changed, missing, unlisted;
  for (const auto& [file, sha256] : listed) {
    const auto found = present.find(file);
    if (found == present.end()) {
      missing += "'" + file + "' is missing; ";
    } else if (found->second != sha256) {
      changed += "'" + file + "' is not what its hash in " + sums_file + " says; ";
    }
  }
  for (const auto& [file, sha256] : present) {
    if (listed.count(file) == 0) unlisted += "'" + file + "' is not listed; ";
  }
  throw Error(folder.string(), changed + missing + unlisted + "'" + sums_file + "' itself may be altered", distrust);
}

}  // namespace ganport
