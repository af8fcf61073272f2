#pragma once

#include <stdexcept>
#include <string_view>

namespace ganport {

/// A failure that the caller or the user can act on; `what()` is one line: where, what was met, what to do.
class Error : public std::runtime_error {
 public:
  /// `met` and `remedy` come without a full stop; line breaks and other control characters become spaces.
  Error(std::string_view where, std::string_view met, std::string_view remedy);
};

}  // namespace ganport
