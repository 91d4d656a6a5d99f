// The log of the whole program: one line a record on standard error, "2026-01-31T12:00:00.123Z info message key=value". The level is
// set once by proxy/main; every function is safe on any thread. Messages must not carry passwords or row data.
#pragma once

#include <exception>
#include <optional>
#include <string_view>
#include <utility>

#include <fmt/format.h>

namespace migration {

enum class log_level {
  debug,    // for developers: one record a chunk, a connection, a retry
  info,     // what a DBA wants to know afterwards: start, stop, transitions
  warning,  // the service goes on, somebody should look
  error,    // something asked for did not happen
};
std::optional<log_level> parse_log_level(std::string_view) noexcept;

void set_log_level(log_level) noexcept;
bool log_enabled(log_level) noexcept;
// Line breaks and other control characters in the message are escaped, so that one record is one line.
void write_log(log_level, std::string_view message) noexcept;

// What a coroutine that nobody waits for ended with; nothing for nullptr.
void log_failure(std::string_view what, std::exception_ptr);

template <typename... Args>
void log_at(log_level level, fmt::format_string<Args...> format, Args&&... args) {
  if (log_enabled(level)) write_log(level, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void log_debug(fmt::format_string<Args...> format, Args&&... args) {
  log_at(log_level::debug, format, std::forward<Args>(args)...);
}
template <typename... Args>
void log_info(fmt::format_string<Args...> format, Args&&... args) {
  log_at(log_level::info, format, std::forward<Args>(args)...);
}
template <typename... Args>
void log_warning(fmt::format_string<Args...> format, Args&&... args) {
  log_at(log_level::warning, format, std::forward<Args>(args)...);
}
template <typename... Args>
void log_error(fmt::format_string<Args...> format, Args&&... args) {
  log_at(log_level::error, format, std::forward<Args>(args)...);
}

}  // namespace migration
