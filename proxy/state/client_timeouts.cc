#include "proxy/state/client_timeouts.h"

#include <charconv>
#include <limits>

namespace proxy {

using std::chrono::milliseconds;

namespace {

constexpr struct {
  std::string_view name;
  milliseconds client_timeouts::*where;
} known[] = {{"idle_in_transaction_session_timeout", &client_timeouts::idle_in_transaction},
             {"idle_session_timeout", &client_timeouts::idle_session},
             {"transaction_timeout", &client_timeouts::transaction}};

constexpr struct {
  std::string_view unit;
  double in_ms;
} units[] = {{"", 1}, {"us", 1e-3}, {"ms", 1}, {"s", 1e3}, {"min", 60e3}, {"h", 3600e3}, {"d", 86400e3}};

std::string_view without_blanks(std::string_view text) noexcept {
  const auto from = text.find_first_not_of(" \t\n");
  return from == std::string_view::npos ? std::string_view() : text.substr(from, text.find_last_not_of(" \t\n") + 1 - from);
}

}  // namespace

milliseconds duration_of(std::string_view text) noexcept {
  text = without_blanks(text);
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || !(number > 0)) return {};
  const auto unit = without_blanks(text.substr(static_cast<std::size_t>(end - text.data())));
  for (const auto& one : units) {
    const auto in_ms = number * one.in_ms + 0.5;
    if (unit == one.unit && in_ms < std::numeric_limits<int>::max()) return milliseconds(static_cast<int>(in_ms));
  }
  return {};
}

bool is_client_timeout(std::string_view setting) noexcept {
  for (const auto& one : known)
    if (one.name == setting) return true;
  return false;
}

void take(client_timeouts& all, std::string_view setting, std::string_view value) noexcept {
  for (const auto& one : known)
    if (one.name == setting) all.*one.where = duration_of(value);
}

client_timeouts timeouts_of(const settings_ptr& set, client_timeouts defaults) noexcept {
  if (set)
    for (const auto& [name, value] : set->values()) take(defaults, name, value);
  return defaults;
}

}  // namespace proxy
