// Every SQLSTATE that pgrotor itself sends, chosen in this one file (manual appendix A; class RT is pgrotor's own).
#pragma once

#include <string_view>

namespace protocol::sqlstate {

inline constexpr std::string_view guard_refused = "RT001";          // a guard refused a write to a placement its shard does not own
inline constexpr std::string_view stale_generation = "RT002";       // a strict client carried an old generation
inline constexpr std::string_view not_one_shard = "RT003";          // cannot be proven to stay on one shard
inline constexpr std::string_view wrong_shard = "RT020";            // a database is not the shard that it should be
inline constexpr std::string_view later_term = "RT021";             // a shard serves a later term of another pgrotor
inline constexpr std::string_view wrong_version = "RT022";           // schema pgrotor is of a version that this build does not work with
inline constexpr std::string_view warning = "01000";                // of the console: done, and the DBA should know something
inline constexpr std::string_view connection_failure = "08006";     // the shard's connection broke, or cannot be made
inline constexpr std::string_view transaction_unknown = "08007";    // COMMIT was sent and its outcome is not known
inline constexpr std::string_view protocol_violation = "08P01";
inline constexpr std::string_view feature_not_supported = "0A000";
inline constexpr std::string_view invalid_authorization = "28000";  // who connects, and how, is not welcome
inline constexpr std::string_view bad_authorization = "28P01";
inline constexpr std::string_view no_database = "3D000";
inline constexpr std::string_view failed_transaction = "25P02";
inline constexpr std::string_view read_only_transaction = "25006";
inline constexpr std::string_view idle_in_transaction_timeout = "25P03";
inline constexpr std::string_view transaction_timeout = "25P04";
inline constexpr std::string_view invalid_statement_name = "26000";
inline constexpr std::string_view duplicate_statement = "42P05";
inline constexpr std::string_view invalid_cursor_name = "34000";
inline constexpr std::string_view duplicate_cursor = "42P03";
inline constexpr std::string_view invalid_parameter = "22023";
inline constexpr std::string_view serialization_failure = "40001";
inline constexpr std::string_view syntax_error = "42601";
inline constexpr std::string_view undefined_object = "42704";
inline constexpr std::string_view undefined_function = "42883";     // of a shard, where it is asked for what pgrotor has not made there
inline constexpr std::string_view undefined_schema = "3F000";
inline constexpr std::string_view duplicate_object = "42710";
inline constexpr std::string_view reserved_name = "42939";
inline constexpr std::string_view wrong_state = "55000";            // object_not_in_prerequisite_state
inline constexpr std::string_view lock_not_available = "55P03";
inline constexpr std::string_view hold_expired = "55P03";           // a gate held the statement past its budget; it was not run
inline constexpr std::string_view too_many_connections = "53300";
inline constexpr std::string_view out_of_memory_budget = "53200";   // a bound of I9 was reached
inline constexpr std::string_view insufficient_privilege = "42501";
inline constexpr std::string_view configuration_limit_exceeded = "53400";
inline constexpr std::string_view program_limit = "54000";
inline constexpr std::string_view statement_too_complex = "54001";
inline constexpr std::string_view query_canceled = "57014";
inline constexpr std::string_view admin_shutdown = "57P01";
inline constexpr std::string_view cannot_connect_now = "57P03";
inline constexpr std::string_view idle_session_timeout = "57P05";
inline constexpr std::string_view config_file_error = "F0000";
inline constexpr std::string_view internal_error = "XX000";

}  // namespace protocol::sqlstate
