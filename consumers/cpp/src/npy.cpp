#include "npy.hpp"

#include <optional>
#include <string_view>

#include "ganport/error.hpp"
#include "sizes.hpp"
#include "whole_file.hpp"

namespace ganport {
namespace {

constexpr std::uintmax_t largest_array = std::uintmax_t{4} << 30U;
// 18 digits always fit into 64 bits; no file is that large.
constexpr std::size_t most_digits = 18;

/// Takes a text apart from its front; what does not match leaves it as it is.
class Scanner {
 public:
  explicit Scanner(std::string_view rest) : rest_(rest) {}

  bool accept(std::string_view wanted) {
    if (rest_.substr(0, wanted.size()) != wanted) return false;
    rest_.remove_prefix(wanted.size());
    return true;
  }

  std::string take_while(std::string_view allowed) {
    const std::string_view taken = rest_.substr(0, rest_.find_first_not_of(allowed));
    rest_.remove_prefix(taken.size());
    return std::string(taken);
  }

  bool is_done() const { return rest_.empty(); }

 private:
  std::string_view rest_;
};

struct Header {
  std::string descr;
  Shape shape;
};

/// numpy writes the header as a Python dictionary, always in this form; nothing where it is another.
std::optional<Header> parse_header(std::string_view text) {
  Header header;
  Scanner scanner(text);
  if (!scanner.accept("{'descr': '")) return std::nullopt;
  header.descr = scanner.take_while("<>|=abcdefghijklmnopqrstuvwxyz0123456789");
  if (!scanner.accept("', 'fortran_order': False, 'shape': (")) return std::nullopt;
  for (;;) {
    const std::string digits = scanner.take_while("0123456789");
    if (digits.empty()) break;
    if (digits.size() > most_digits) return std::nullopt;
    header.shape.push_back(std::stoll(digits));
    if (!scanner.accept(",")) break;
    scanner.accept(" ");
  }
  if (!scanner.accept("), }")) return std::nullopt;
  scanner.take_while(" \n");
  return scanner.is_done() ? std::optional(header) : std::nullopt;
}

/// The header's text and, by its end, where the data begins; an empty one where the file has none.
std::string_view find_header(std::string_view file) {
  constexpr std::string_view magic = "\x93NUMPY";
  const auto byte = [&](std::size_t i) { return static_cast<std::size_t>(static_cast<unsigned char>(file[i])); };
  if (file.size() < 12 || file.substr(0, magic.size()) != magic) return {};
  // Version 1 has a length of two bytes, later ones of four.
  const bool is_first = byte(6) == 1;
  const std::size_t start = is_first ? 10 : 12;
  std::size_t length = byte(8) | byte(9) << 8U;
  if (!is_first) length |= byte(10) << 16U | byte(11) << 24U;
  return length <= file.size() - start ? file.substr(start, length) : std::string_view();
}

std::optional<DataType> dtype_of(const std::string& descr) {
  if (descr == "<f4") return DataType::float32;
  if (descr == "|u1") return DataType::uint8;
  if (descr == "|i1") return DataType::int8;
  if (descr == "<i4") return DataType::int32;
  if (descr == "<i8") return DataType::int64;
  if (descr == "|b1") return DataType::boolean;
  if (descr == "<f2") return DataType::float16;
  if (descr == "<f8") return DataType::float64;
  return std::nullopt;
}

}  // namespace

Tensor read_npy(const std::filesystem::path& path) {
  const auto refuse = [&](const std::string& met) -> Error {
    return {path.string(), met, "Save it with numpy.save: float32, uint8 or int8, in C order"};
  };
  const std::string file = read_whole(path, largest_array);
  const std::string_view text = find_header(file);
  const auto header = parse_header(text);
  if (!header) throw refuse("it is no such array file");
  const auto dtype = dtype_of(header->descr);
  if (!dtype) throw refuse("its element type is " + header->descr);
  const auto data = static_cast<std::size_t>(text.data() + text.size() - file.data());
  const auto claimed = count_bytes(*dtype, header->shape);
  if (!claimed || *claimed != file.size() - data) {
    throw refuse("its header claims the shape " + format_shape(header->shape) + ", it holds " +
                 std::to_string(file.size() - data) + " bytes");
  }
  return {*dtype, header->shape, {file.begin() + static_cast<std::ptrdiff_t>(data), file.end()}};
}

}  // namespace ganport
