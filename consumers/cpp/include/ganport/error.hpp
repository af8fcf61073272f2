#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace ganport {

/// `text`, which may come from a file, for a terminal: control characters, line breaks too, become spaces.
std::string on_one_line(std::string_view text);

/// A failure that the caller or the user can act on; `what()` is one line: where, what was met, what to do.
class Error : public std::runtime_error {
 public:
  /// `met` and `remedy` come without a full stop; line breaks and other control characters become spaces.
  Error(std::string_view where, std::string_view met, std::string_view remedy);
};

}  // namespace ganport
