// Statements of sessions whose standard_conforming_strings is off: a backslash in '...' and N'...' means what it means in E'...' (manual
// 4.1.2.2 and 4.1.2.3). Everything else here reads texts of sessions where it is on. Pure, any thread.
#pragma once

#include <string>
#include <string_view>

namespace routing {

// The same statements for a session where it is on. Nothing but such strings is changed, and nothing moves: what a string became shorter by
// stands behind it as blanks. What PostgreSQL refuses in a string (a NUL, half a surrogate pair) becomes something else.
std::string without_escapes(std::string_view sql);

// Whether it is on or off, the text says the same: no such string has a backslash.
bool means_one_thing(std::string_view sql) noexcept;

bool is_ascii(std::string_view) noexcept;
// Names and keywords; strings and comments may have any characters.
bool has_ascii_names(std::string_view sql) noexcept;

// For a session where it is off, of a text that was written where it is on.
std::string with_escapes(std::string_view sql);

}  // namespace routing
