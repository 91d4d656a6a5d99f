#include "proxy/transaction/process_question.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>

#include "protocol/wire.h"
#include "proxy/shard/process_book.h"
#include "proxy/state/settings.h"
#include "routing/map/array_value.h"

namespace proxy {

using process_asks = process_question::what;

namespace {

std::optional<std::int64_t> number_of_text(std::string_view text) {
  std::int64_t number = 0;
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  const auto read = std::from_chars(text.data(), text.data() + text.size(), number);
  return read.ec == std::errc() && read.ptr == text.data() + text.size() ? std::optional(number) : std::nullopt;
}

std::optional<std::int64_t> number_of(std::string_view value, std::int16_t format) {
  if (format == 0) return number_of_text(value);
  switch (value.size()) {
    case sizeof(std::int16_t): return protocol::load_int<std::int16_t>(value.data());
    case sizeof(std::int32_t): return protocol::load_int<std::int32_t>(value.data());
    case sizeof(std::int64_t): return protocol::load_int<std::int64_t>(value.data());
    default: return std::nullopt;
  }
}

// The value that an argument has; nothing: NULL, or the statement lacks it.
std::optional<routing::parameter> argument(const routing::process_call& call, std::size_t index, std::span<const routing::parameter> values) {
  if (index >= call.arguments.size()) return std::nullopt;
  if (const auto* literal = std::get_if<std::string>(&call.arguments[index])) return routing::parameter{*literal, 0, 0};
  const auto at = std::get<std::size_t>(call.arguments[index]);
  return at < values.size() && values[at].value ? std::optional(values[at]) : std::nullopt;
}

std::vector<std::int32_t> numbers_in(const routing::parameter& array) {
  std::vector<std::int32_t> found;
  routing::array_reader in(*array.value, array.format);
  std::optional<std::string_view> element;
  while (in.next(element)) {
    const auto number = element ? number_of(*element, array.format) : std::nullopt;
    if (number && *number >= least_number && *number <= INT32_MAX) found.push_back(static_cast<std::int32_t>(*number));
  }
  return found;
}

}  // namespace

std::optional<process_question> question_of(const routing::process_call& call, std::span<const routing::parameter> values) {
  const auto first = argument(call, 0, values), second = argument(call, 1, values);
  const auto number = first ? number_of(*first->value, first->format) : std::nullopt;
  if (!number || *number < least_number || *number > INT32_MAX || (!second && call.arguments.size() > 1)) return std::nullopt;
  process_question asked{call.is, static_cast<std::int32_t>(*number), {}, {}};
  if (call.is == process_asks::is_blocked) asked.among = numbers_in(*second);
  if (call.is != process_asks::terminate || !second) return asked;
  const auto patience = number_of(*second->value, second->format);
  if (!patience || *patience < 0) return std::nullopt;
  asked.patience = std::chrono::milliseconds(*patience);
  return asked;
}

std::string permission_sql(std::string_view user) {
  return fmt::format(
      "SELECT CASE WHEN NOT me.rolsuper AND COALESCE(they.rolsuper, true) THEN 'superuser' "
      "WHEN pg_catalog.pg_has_role(they.oid, 'USAGE') OR pg_catalog.pg_has_role('pg_signal_backend', 'USAGE') THEN 'may' ELSE 'member' END "
      "FROM pg_catalog.pg_roles me LEFT JOIN pg_catalog.pg_roles they ON they.rolname OPERATOR(pg_catalog.=) {} "
      "WHERE me.rolname OPERATOR(pg_catalog.=) current_user",
      quoted_literal(user));
}

std::optional<protocol::notice> refusal(process_asks is, std::string_view answer) {
  if (answer == "may") return std::nullopt;
  const bool cancels = is == process_asks::cancel;
  if (answer == "superuser")
    return make_error(sqlstate::insufficient_privilege, cancels ? "must be a superuser to cancel superuser query" : "must be a superuser to terminate superuser process");
  return make_error(sqlstate::insufficient_privilege, fmt::format("must be a member of the role whose {} or member of pg_signal_backend",
                                         cancels ? "query is being canceled" : "process is being terminated"));
}

// PostgreSQL looks for a wait for a safe snapshot in the first serializable transaction of the process, which may be another client's, and over.
std::string blocked_sql(std::span<const std::int32_t> processes, std::span<const std::int32_t> among) {
  return fmt::format(
      "SELECT COALESCE(pg_catalog.bool_or(pg_catalog.pg_isolation_test_session_is_blocked(pid, '{{{0}}}') OR EXISTS "
      "(SELECT FROM pg_catalog.pg_stat_get_activity(pid) a WHERE a.wait_event OPERATOR(pg_catalog.=) 'SafeSnapshot')), false) "
      "FROM pg_catalog.unnest('{{{1}}}'::pg_catalog.int4[]) pid",
      fmt::join(among, ","), fmt::join(processes, ","));
}

}  // namespace proxy
