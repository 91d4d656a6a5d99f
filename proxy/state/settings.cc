#include "proxy/state/settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace proxy {

namespace {

// Sorted. Whatever value the session had, the server takes it again: no object can be gone, no right withdrawn.
constexpr auto certain = std::to_array<std::string_view>({
    "application_name", "array_nulls", "backslash_quote", "bytea_output", "check_function_bodies", "client_encoding", "client_min_messages",
    "commit_delay", "constraint_exclusion", "cpu_index_tuple_cost", "cpu_operator_cost", "cpu_tuple_cost", "cursor_tuple_fraction", "datestyle",
    "default_statistics_target", "default_text_search_config", "default_toast_compression", "default_transaction_deferrable",
    "default_transaction_isolation", "default_transaction_read_only", "effective_cache_size", "escape_string_warning",
    "exit_on_error", "extra_float_digits", "from_collapse_limit", "geqo", "gin_fuzzy_search_limit", "hash_mem_multiplier",
    "idle_in_transaction_session_timeout", "idle_session_timeout", "intervalstyle", "jit", "join_collapse_limit", "lc_monetary",
    "lc_numeric", "lc_time", "lo_compat_privileges", "lock_timeout", "maintenance_work_mem", "parallel_leader_participation",
    "parallel_setup_cost", "parallel_tuple_cost", "plan_cache_mode", "quote_all_identifiers", "random_page_cost", "row_security",
    "search_path", "seq_page_cost", "standard_conforming_strings", "statement_timeout", "synchronize_seqscans", "synchronous_commit",
    "temp_buffers", "timezone", "timezone_abbreviations", "transform_null_equals", "work_mem", "xmlbinary", "xmloption",
});
static_assert(std::is_sorted(certain.begin(), certain.end()));

bool may_fail(std::string_view name) noexcept {
  return !is_custom(name) && !name.starts_with("enable_") && !std::binary_search(certain.begin(), certain.end(), name);
}

constexpr std::string_view encoding = "client_encoding";

// Roles are left before anything else and taken on after everything else: what the client is allowed depends on them. The encoding is none of
// these: it stands in front, by itself.
int rank(std::string_view name) noexcept { return name == encoding ? -1 : name == "role" ? 2 : name == "session_authorization" ? 1 : 0; }

// a.b is two identifiers.
std::string reset_of(std::string_view name) {
  if (name == "session_authorization") return "RESET SESSION AUTHORIZATION;";
  const auto dot = name.find('.');
  if (dot == std::string_view::npos) return "RESET " + quoted_name(name) + ";";
  return "RESET " + quoted_name(name.substr(0, dot)) + "." + quoted_name(name.substr(dot + 1)) + ";";
}

}  // namespace

settings_ptr make_settings(text_pairs values) {
  if (values.empty()) return nullptr;
  std::sort(values.begin(), values.end());
  return name_values::make(std::move(values));
}

adjustment adjust(const settings_ptr& from, const settings_ptr& to) {
  adjustment made;
  const auto value_in = [](const settings_ptr& set, std::string_view name) { return set ? set->find(name) : nullptr; };
  const auto* now_role = value_in(from, "role");
  const auto* now_user = value_in(from, "session_authorization");
  // Whoever changes one of the two starts anew: SET SESSION AUTHORIZATION drops the role.
  const auto differs = [&](std::string_view name) {
    const auto *a = value_in(from, name), *b = value_in(to, name);
    return (a == nullptr) != (b == nullptr) || (a && *a != *b);
  };
  if (differs(encoding)) {
    const auto* value = value_in(to, encoding);
    made.encoding = value ? fmt::format("SET {} = {}", encoding, quoted_literal(*value)) : reset_of(encoding);
  }
  bool asks = false;
  const bool roles = differs("role") || differs("session_authorization");
  made.wait = roles;
  if (roles && now_role) made.sql += "RESET ROLE;";
  if (roles && now_user) made.sql += reset_of("session_authorization");
  if (from)
    for (const auto& [name, value] : from->values())
      if (rank(name) == 0 && !value_in(to, name)) {
        made.sql += reset_of(name);
        made.wait = made.wait || may_fail(name);
      }
  for (int turn = 0; turn < 3 && to; ++turn)
    for (const auto& [name, value] : to->values()) {
      if (rank(name) != turn || (turn == 0 && !differs(name)) || (turn > 0 && !roles)) continue;
      if (!asks) made.sql.insert(0, own_isolation);
      asks = true;
      made.sql += "SELECT pg_catalog.set_config(" + quoted_literal(name) + "," + quoted_literal(value) + ",false);";
      made.wait = made.wait || may_fail(name);
    }
  return made;
}

std::string lower_name(std::string_view name) {
  std::string out(name);
  std::transform(out.begin(), out.end(), out.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return out;
}

std::string quoted_literal(std::string_view text) {
  std::string out = text.find('\\') == std::string_view::npos ? "'" : " E'";
  for (const char c : text) out.append(c == '\'' || c == '\\' ? 2 : 1, c);
  return out.append(1, '\'');
}

settings_ptr or_as_started(const settings_ptr& left, const settings_ptr& started_with) {
  if (!left || !started_with) return left ? left : started_with;
  auto values = left->values();
  for (const auto& one : started_with->values())
    if (!left->find(one.first)) values.push_back(one);
  return values.size() == left->values().size() ? left : make_settings(std::move(values));
}

}  // namespace proxy
