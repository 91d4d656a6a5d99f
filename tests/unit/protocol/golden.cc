#include "golden.h"

#include <charconv>
#include <fstream>
#include <iterator>
#include <sstream>
#include <stdexcept>
#include <system_error>

namespace protocol_test {

std::string hex(std::string_view digits) {
  std::string packed, out;
  for (const char digit : digits)
    if (digit != ' ') packed.push_back(digit);
  if (packed.size() % 2 != 0) throw std::invalid_argument("odd number of hex digits");
  for (std::size_t at = 0; at < packed.size(); at += 2) {
    unsigned char byte = 0;
    const char* end = packed.data() + at + 2;
    const auto read = std::from_chars(packed.data() + at, end, byte, 16);
    if (read.ec != std::errc{} || read.ptr != end) throw std::invalid_argument("not a hex digit");
    out.push_back(static_cast<char>(byte));
  }
  return out;
}

std::vector<golden_line> read_golden(std::string_view file) {
  std::ifstream in(std::string(PGROTOR_GOLDEN_DIR) + '/' + std::string(file));
  if (!in) throw std::runtime_error("cannot read golden " + std::string(file));
  std::vector<golden_line> out;
  std::string step;
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("## ")) step = line.substr(3);
    if (line.empty() || line.starts_with('#')) continue;
    std::istringstream words(line);
    out.push_back({step, {std::istream_iterator<std::string>(words), {}}});
  }
  return out;
}

}  // namespace protocol_test
