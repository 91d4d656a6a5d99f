#include "migration/base/log.h"

#include <array>
#include <atomic>
#include <chrono>
#include <ctime>
#include <string>

#include <unistd.h>

namespace migration {
namespace {

constexpr std::array<std::string_view, 4> level_names{"debug", "info", "warning", "error"};
std::atomic<log_level> lowest{log_level::info};

void append_time(std::string& out) {
  const auto now = std::chrono::system_clock::now();
  const std::time_t seconds = std::chrono::system_clock::to_time_t(now);
  const auto milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count() % 1000;
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  fmt::format_to(std::back_inserter(out), "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday,
                 utc.tm_hour, utc.tm_min, utc.tm_sec, milliseconds);
}

void append_escaped(std::string& out, std::string_view message) {
  for (const char c : message) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\n') {
      out += "\\n";
    } else if (byte < 0x20 || byte == 0x7f) {
      fmt::format_to(std::back_inserter(out), "\\x{:02x}", byte);
    } else {
      out.push_back(c);
    }
  }
}

}  // namespace

std::optional<log_level> parse_log_level(std::string_view text) noexcept {
  for (std::size_t i = 0; i < level_names.size(); ++i) {
    if (level_names[i] == text) return static_cast<log_level>(i);
  }
  return std::nullopt;
}

void set_log_level(log_level level) noexcept { lowest.store(level, std::memory_order_relaxed); }

bool log_enabled(log_level level) noexcept { return level >= lowest.load(std::memory_order_relaxed); }

void write_log(log_level level, std::string_view message) noexcept try {
  std::string line;
  append_time(line);
  fmt::format_to(std::back_inserter(line), " {} ", level_names[static_cast<std::size_t>(level)]);
  append_escaped(line, message);
  line.push_back('\n');
  // One write a record: lines of several threads do not mix. A log that cannot be written stops nothing.
  if (::write(STDERR_FILENO, line.data(), line.size()) < 0) return;
} catch (...) {
}

void log_failure(std::string_view what, std::exception_ptr failure) try {
  if (failure) std::rethrow_exception(failure);
} catch (const std::exception& error) {
  log_error("{}: {}", what, error.what());
} catch (...) {
  log_error("{}: failed", what);
}

}  // namespace migration
