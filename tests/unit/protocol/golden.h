// Bytes for the tests of this folder: written as hex, or read from the captures in golden/ (formats in capture/*.py).
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace protocol_test {

// Bytes of hex digits; blanks between them group the fields. Throws on anything else, so that a typing error fails the test.
std::string hex(std::string_view digits);

// One line of a golden, cut at blanks. `step` is the "## ..." line it stands under. Comments and empty lines are left out.
struct golden_line {
  std::string step;
  std::vector<std::string> words;
};
std::vector<golden_line> read_golden(std::string_view file);

}  // namespace protocol_test
