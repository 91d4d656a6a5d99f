// The settings that all shards must have alike (equal_shards.h compares shards, proxy/state/equal_settings.h makes sessions alike).
#pragma once

#include <string_view>

namespace migration {

// Settings that change what statements answer, as PostgreSQL 14 to 18 spell them. Not among them: what makes statements faster, safer on
// disk or better logged.
inline constexpr std::string_view settings_of_answers[] = {
    "DateStyle", "IntervalStyle", "TimeZone", "array_nulls", "backslash_quote", "bytea_output", "check_function_bodies", "client_min_messages",
    "createrole_self_grant", "default_text_search_config", "default_transaction_deferrable", "default_transaction_isolation",
    "default_transaction_read_only", "escape_string_warning", "exit_on_error", "extra_float_digits", "gin_fuzzy_search_limit",
    "idle_in_transaction_session_timeout", "idle_session_timeout", "integer_datetimes", "lc_messages", "lc_monetary", "lc_numeric", "lc_time", "lo_compat_privileges",
    "lock_timeout", "quote_all_identifiers", "restrict_nonsystem_relation_kind", "row_security", "search_path", "server_encoding",
    "session_replication_role", "standard_conforming_strings", "statement_timeout", "timezone_abbreviations", "transaction_timeout",
    "transform_null_equals", "xmlbinary", "xmloption",
};
// Of these, those that only a superuser's startup packet may carry and that change rows.
inline constexpr std::string_view settings_of_superusers[] = {"session_replication_role", "lo_compat_privileges"};

}  // namespace migration
