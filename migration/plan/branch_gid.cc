#include "migration/plan/branch_gid.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

namespace migration {
namespace {

constexpr std::string_view prefix = "pgrotor_", form_of_uuid = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";

bool is_uuid(std::string_view text) {
  return std::ranges::equal(text, form_of_uuid, [](char c, char form) {
    return form == '-' ? c == '-' : (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
  });
}

// Takes a number off the front, written as std::to_string does.
std::optional<std::uint32_t> take_number(std::string_view& text) {
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const auto digits = static_cast<std::size_t>(end - text.data());
  if (error != std::errc() || (text[0] == '0' && digits > 1)) return std::nullopt;
  text.remove_prefix(digits);
  return value;
}

}  // namespace

std::string branch_gid::text() const { return fmt::format("{}{}_{}_{}{}", prefix, uuid, decider.value, number, locks_only ? "l" : ""); }

std::optional<branch_gid> branch_gid::parse(std::string_view text) {
  if (!text.starts_with(prefix)) return std::nullopt;
  text.remove_prefix(prefix.size());
  branch_gid out;
  out.uuid = text.substr(0, form_of_uuid.size());
  if (!is_uuid(out.uuid)) return std::nullopt;
  text.remove_prefix(form_of_uuid.size());
  if (!text.starts_with('_')) return std::nullopt;
  text.remove_prefix(1);
  const auto decider = take_number(text);
  if (!decider || !text.starts_with('_')) return std::nullopt;
  text.remove_prefix(1);
  const auto number = take_number(text);
  if (!number || *number == 0 || (!text.empty() && text != "l")) return std::nullopt;
  out.decider = {*decider};
  out.number = *number;
  out.locks_only = !text.empty();
  return out;
}

}  // namespace migration
