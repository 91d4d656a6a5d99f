// Values of a statement's parameters, as the client sent them: views into its message. Any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include <boost/container/small_vector.hpp>

namespace routing {

struct parameter {
  std::optional<std::string_view> value;  // nullopt: SQL NULL
  std::int16_t format = 0;                // 0 text, 1 binary
  std::uint32_t type = 0;                 // OID the client declared, 0 = unspecified
};
inline constexpr std::uint32_t unspecified_oid = 0;  // of a parameter whose type the client leaves to the server
using parameters = boost::container::small_vector<parameter, 16>;

}  // namespace routing
