// What PostgreSQL's input functions take for white space (isspace in the C locale). Pure, any thread.
#pragma once

namespace routing {

constexpr bool is_blank(char c) noexcept { return c == ' ' || (c >= '\t' && c <= '\r'); }

}  // namespace routing
