// Settings that a client made for its session, and those that a server connection has: where they differ, one query in front of the
// client's statement makes them agree (manual 20.1.3). Worker's thread only.
#pragma once

#include <string>
#include <string_view>

#include "proxy/state/name_values.h"
#include "routing/text/words.h"

namespace proxy {

using settings_ptr = name_values_ptr;  // sorted by name; nullptr: nothing but what the server started with

// Of names in lower case and values in the form that set_config takes; nullptr when there are none.
settings_ptr make_settings(text_pairs);

// In front of a question of the proxy's own, in the same simple query: the client's defaults may ask for a snapshot that has to be waited for
// (SERIALIZABLE READ ONLY DEFERRABLE).
inline constexpr std::string_view own_isolation = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED;";

// What turns a server that has `from` into one that has `to`.
struct adjustment {
  std::string encoding; // in front of it, as a query of its own: values are of who wants them
  std::string sql;      // one simple query
  bool wait = false;    // it may fail: nothing may follow it before it has succeeded
};
adjustment adjust(const settings_ptr& from, const settings_ptr& to);

// As PostgreSQL compares names of settings.
std::string lower_name(std::string_view);
using routing::quoted_name;
// 'text', whatever standard_conforming_strings is.
std::string quoted_literal(std::string_view);
// Settings that extensions and applications make up; pg_settings does not show them.
inline bool is_custom(std::string_view name) noexcept { return name.find('.') != std::string_view::npos; }

// `left` with what the session started with, where that has been reset.
settings_ptr or_as_started(const settings_ptr& left, const settings_ptr& started_with);

}  // namespace proxy
