#include "proxy/session/console_talk.h"

#include <algorithm>
#include <bit>
#include <chrono>
#include <cstdio>
#include <stdexcept>

#include <fmt/format.h>

#include "migration/base/refused.h"
#include "protocol/wire.h"
#include "proxy/config/errors.h"

namespace proxy {

namespace {

using migration::column_list;
using migration::column_type;
using migration::refuse;

constexpr std::size_t most_kept = 1'000;  // statements, and portals

template <typename T>
T demand(std::optional<T> message) {
  if (!message) refuse(sqlstate::protocol_violation, "invalid message format");
  return std::move(*message);
}

// Of "2026-11-30 15:00:00+00".
std::int64_t microseconds_since_2000(const std::string& text) {
  using namespace std::chrono;
  int year = 0, hour = 0, minute = 0, second = 0;
  unsigned month = 0, day = 0;
  if (std::sscanf(text.c_str(), "%d-%u-%u %d:%d:%d+00", &year, &month, &day, &hour, &minute, &second) != 6) throw std::logic_error("no timestamptz: " + text);
  const auto days = sys_days{std::chrono::year{year} / month / day} - sys_days{std::chrono::year{2000} / 1 / 1};
  return duration_cast<microseconds>(days + hours(hour) + minutes(minute) + seconds(second)).count();
}

std::string binary(column_type type, const std::string& text) {
  std::string out;
  switch (type) {
    case column_type::text: return text;
    case column_type::int8: protocol::append_int(out, static_cast<std::int64_t>(std::stoll(text))); break;
    case column_type::float8: protocol::append_int(out, std::bit_cast<std::uint64_t>(std::stod(text))); break;
    case column_type::timestamptz: protocol::append_int(out, microseconds_since_2000(text)); break;
  }
  return out;
}

// One line a row. A figure that is not known is NULL.
std::optional<std::string> cell(column_type type, std::int16_t format, std::optional<std::string> value) {
  if (!value || (value->empty() && type != column_type::text)) return std::nullopt;
  std::replace(value->begin(), value->end(), '\n', ' ');
  return format == 0 ? std::move(value) : binary(type, *value);
}

void describe_columns(const column_list& columns, const std::vector<std::int16_t>& formats, std::string& out) {
  if (columns.empty()) return protocol::append_no_data(out);
  std::vector<protocol::row_column> described;
  for (std::size_t i = 0; i < columns.size(); ++i) {
    const bool text = columns[i].type == column_type::text;
    described.push_back({columns[i].name, static_cast<std::uint32_t>(columns[i].type), static_cast<std::int16_t>(text ? -1 : 8), formats.empty() ? std::int16_t{0} : formats[i]});
  }
  protocol::append_row_description(out, described);
}

void tell_row(const column_list& columns, const std::vector<std::int16_t>& formats, std::vector<std::optional<std::string>>& row, std::string& out) {
  for (std::size_t i = 0; i < row.size(); ++i) row[i] = cell(columns[i].type, formats.empty() ? std::int16_t{0} : formats[i], std::move(row[i]));
  protocol::append_data_row(out, row);
}

void tell_end(const migration::answer& done, std::string& out) {
  if (done.tag.empty()) protocol::append_empty_query_response(out);
  else protocol::append(out, protocol::command_complete{done.tag});
}

std::vector<std::int16_t> formats_of(const protocol::bind& message, std::size_t columns) {
  const auto& asked = message.result_formats;
  if (asked.size() <= 1) return std::vector<std::int16_t>(columns, asked.empty() ? std::int16_t{0} : asked.front());
  if (asked.size() == columns) return asked;
  refuse(sqlstate::protocol_violation, fmt::format("bind message has {} result formats but query has {} columns", asked.size(), columns));
}

}  // namespace

std::optional<std::string> console_talk::take(char type, std::string_view body, std::string& out) {
  switch (type) {
    case 'Q': return query(body);
    case 'P': return parse(body, out), std::nullopt;
    case 'B': return bind(body, out), std::nullopt;
    case 'D': return describe(body, out), std::nullopt;
    case 'E': return execute(body, out);
    case 'C': return close(body, out), std::nullopt;
    case 'F': refuse(sqlstate::feature_not_supported, "the admin console has no functions");
    default: return std::nullopt;  // Flush; of COPY, as PostgreSQL ignores them
  }
}

void console_talk::demand_commands() const {
  if (!commands_) refuse(sqlstate::cannot_connect_now, "the admin console is not ready");
}

std::optional<std::string> console_talk::query(std::string_view body) {
  demand_commands();
  runs_ = nullptr;
  return std::string(demand(protocol::decode_query(body)).sql);
}

void console_talk::parse(std::string_view body, std::string& out) {
  demand_commands();
  const auto message = demand(protocol::decode_parse(body));
  const std::string sql(message.sql), name(message.name);
  if (!name.empty() && statements_.contains(name)) refuse(sqlstate::duplicate_statement, fmt::format("prepared statement \"{}\" already exists", name));
  if (statements_.size() >= most_kept) refuse(sqlstate::program_limit, fmt::format("more than {} prepared statements", most_kept));
  statements_.insert_or_assign(name, statement{sql, commands_->columns(sql)});
  protocol::append_parse_complete(out);
}

void console_talk::bind(std::string_view body, std::string& out) {
  const auto message = demand(protocol::decode_bind(body));
  const auto& from = statement_named(message.statement);
  const std::string name(message.portal);
  if (!message.values.empty())
    refuse(sqlstate::protocol_violation, fmt::format("bind message supplies {} parameters, but prepared statement \"{}\" requires 0", message.values.size(), message.statement));
  if (!name.empty() && portals_.contains(name)) refuse(sqlstate::duplicate_cursor, fmt::format("cursor \"{}\" already exists", name));
  if (portals_.size() >= most_kept) refuse(sqlstate::program_limit, fmt::format("more than {} portals", most_kept));
  portals_.insert_or_assign(name, portal{from.sql, from.columns, formats_of(message, from.columns.size()), {}, 0});
  protocol::append_bind_complete(out);
}

void console_talk::describe(std::string_view body, std::string& out) {
  const auto message = demand(protocol::decode_describe(body));
  if (message.kind == 'P') {
    const auto& found = portal_named(message.name);
    return describe_columns(found.columns, found.formats, out);
  }
  const auto& found = statement_named(message.name);
  protocol::append_no_parameters(out);
  describe_columns(found.columns, {}, out);
}

std::optional<std::string> console_talk::execute(std::string_view body, std::string& out) {
  const auto message = demand(protocol::decode_execute(body));
  auto& found = portal_named(message.portal);
  most_rows_ = message.max_rows;
  if (found.answered) return tell_part(found, out), std::nullopt;
  runs_ = &found;
  return found.sql;
}

void console_talk::close(std::string_view body, std::string& out) {
  const auto message = demand(protocol::decode_close(body));
  if (message.kind == 'P') portals_.erase(std::string(message.name));
  else statements_.erase(std::string(message.name));
  protocol::append_close_complete(out);
}

console_talk::statement& console_talk::statement_named(std::string_view name) {
  const auto found = statements_.find(name);
  if (found != statements_.end()) return found->second;
  refuse(sqlstate::invalid_statement_name, name.empty() ? "unnamed prepared statement does not exist" : fmt::format("prepared statement \"{}\" does not exist", name));
}

console_talk::portal& console_talk::portal_named(std::string_view name) {
  const auto found = portals_.find(name);
  if (found != portals_.end()) return found->second;
  refuse(sqlstate::invalid_cursor_name, fmt::format("portal \"{}\" does not exist", name));
}

void console_talk::tell(migration::answer done, std::string& out) {
  for (auto warning : done.warnings) {
    warning.sqlstate = sqlstate::warning;
    protocol::append_notice(out, as_warning(std::move(warning)));
  }
  note(done.tag);
  if (runs_) {
    if (!done.rows.empty() && done.columns.size() != runs_->columns.size()) throw std::logic_error("the answer has other columns than were announced: " + runs_->sql);
    runs_->answered = std::move(done);
    return tell_part(*runs_, out);
  }
  if (!done.columns.empty()) describe_columns(done.columns, {}, out);
  for (auto& row : done.rows) tell_row(done.columns, {}, row, out);
  tell_end(done, out);
}

void console_talk::tell_part(portal& from, std::string& out) {
  auto& rows = from.answered->rows;
  const auto end = most_rows_ > 0 ? std::min(rows.size(), from.told + static_cast<std::size_t>(most_rows_)) : rows.size();
  const bool whole = most_rows_ <= 0 || end < from.told + static_cast<std::size_t>(most_rows_);  // as PostgreSQL, which looks for no row behind the last one asked for
  for (; from.told < end; ++from.told) tell_row(from.columns, from.formats, rows[from.told], out);
  if (whole) tell_end(*from.answered, out);
  else protocol::append_portal_suspended(out);
}

void console_talk::note(std::string_view tag) {
  if (tag == "BEGIN" || tag == "START TRANSACTION") status_ = protocol::transaction_status::in_transaction;
  if (tag == "COMMIT" || tag == "ROLLBACK") status_ = protocol::transaction_status::idle;
}

void console_talk::sync() {
  if (status_ == protocol::transaction_status::idle) portals_.clear();
}

}  // namespace proxy
