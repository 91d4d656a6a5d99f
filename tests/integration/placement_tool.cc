// Prints what routing/map/placement.h and placement_range.h make of values, for placement_test.py to compare with a server.
//   placement_tool sql <type> <quoted column>         the SQL expression
//   placement_tool text|binary <type> < values        one value a line in hex; prints its placement, or "-" for a value not accepted
//   placement_tool order number|bytes < values        prints how each value after the first lies to the one before it: <, = or >
// <type>: int8, text, bpchar or uuid.
#include <iostream>
#include <optional>
#include <string>

#include "routing/map/placement.h"

namespace {

std::optional<routing::key_type> type_named(std::string_view name) {
  using enum routing::key_type;
  for (const auto type : {int8, text, bpchar, uuid}) {
    if (routing::to_string(type) == name) return type;
  }
  return std::nullopt;
}

std::string from_hex(const std::string& hex) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) bytes.push_back(static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  return bytes;
}

routing::placement placement_of(bool number, const std::string& sent) {
  return number ? routing::placement(routing::int_of_binary_value(sent).value()) : routing::placement::of_bytes(sent);
}

int print_order(bool number) {
  std::optional<routing::placement> last;
  for (std::string line; std::getline(std::cin, line);) {
    const auto value = placement_of(number, from_hex(line));
    if (last) std::cout << (*last < value ? '<' : *last == value ? '=' : '>') << '\n';
    last = value;
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string mode = argc > 1 ? argv[1] : "";
  if (mode == "order" && argc == 3) return print_order(std::string_view(argv[2]) == "number");
  const auto type = argc > 2 ? type_named(argv[2]) : std::nullopt;
  if (!type || (mode == "sql") != (argc == 4)) {
    std::cerr << "usage: placement_tool sql TYPE COLUMN | placement_tool text|binary TYPE | placement_tool order number|bytes\n";
    return 2;
  }
  if (mode == "sql") {
    std::cout << routing::placement_sql(*type, argv[3]) << '\n';
    return 0;
  }
  const auto read = mode == "binary" ? routing::placement_of_binary_value : routing::placement_of_text_value;
  for (std::string line; std::getline(std::cin, line);) {
    const auto value = read(*type, from_hex(line));
    std::cout << (value ? std::to_string(value->number()) : "-") << '\n';
  }
  return 0;
}
