#pragma once

#include <string>
#include <string_view>

namespace ganport {

/// The first line that says anything of a runtime's message, without its full stop.
std::string first_line(std::string_view message);

}  // namespace ganport
