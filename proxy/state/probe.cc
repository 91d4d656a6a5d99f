#include "proxy/state/probe.h"

#include <algorithm>
#include <map>

#include "protocol/frame.h"
#include "protocol/wire.h"

namespace proxy {

namespace {

struct question {
  state_bits bit;
  char letter;
  std::string_view sql;
};
// 2615 is pg_namespace. After a transaction only cursors WITH HOLD are left.
constexpr question questions[] = {
    {state::temp_objects, 't',
     "SELECT 't', NULL, NULL FROM pg_catalog.pg_depend WHERE refclassid OPERATOR(pg_catalog.=) 2615 "
     "AND refobjid OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema() LIMIT 1;"},
    {state::advisory_locks, 'l',
     "SELECT 'l', NULL, NULL FROM pg_catalog.pg_lock_status() WHERE locktype OPERATOR(pg_catalog.=) 'advisory' "
     "AND pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid() LIMIT 1;"},
    {state::held_cursors, 'c', "SELECT 'c', NULL, NULL FROM pg_catalog.pg_cursor() WHERE is_holdable LIMIT 1;"},
    {state::listening, 'n', "SELECT 'n', NULL, NULL FROM pg_catalog.pg_listening_channels() LIMIT 1;"},
    {state::sql_statements, 'p', "SELECT 'p', name, NULL FROM pg_catalog.pg_prepared_statement() WHERE from_sql;"},
};

// Functions of users, those of migrations aside, that mention what makes state, in a database that has triggers at all.
constexpr std::string_view triggers_sql =
    "SELECT 'x', NULL, NULL FROM pg_catalog.pg_proc WHERE oid OPERATOR(pg_catalog.>=) 16384 AND ";
constexpr std::string_view beside_triggers =
    " AND EXISTS (SELECT FROM pg_catalog.pg_trigger WHERE NOT tgisinternal) AND pronamespace OPERATOR(pg_catalog.<>) ALL "
    "(SELECT oid FROM pg_catalog.pg_namespace WHERE nspname OPERATOR(pg_catalog.=) 'pgrotor') LIMIT 1;";

bool of_transaction(std::string_view name) noexcept { return name.starts_with("transaction_") && name != "transaction_timeout"; }

struct row {
  std::string_view cells[3];
  bool null[3] = {};
};

// One DataRow of three columns.
std::optional<row> read_row(std::string_view body) {
  protocol::wire_reader in(body);
  row out;
  if (in.read<std::int16_t>() != 3) return std::nullopt;
  for (int i = 0; i < 3; ++i) {
    const auto size = in.read<std::int32_t>();
    out.null[i] = size < 0;
    if (size > 0) out.cells[i] = in.read_bytes(static_cast<std::size_t>(size));
  }
  return in.done() ? std::optional(out) : std::nullopt;
}

bool take_row(const row& r, findings& out) {
  if (r.cells[0].size() != 1) return false;
  const char letter = r.cells[0].front();
  if (letter == 's') return out.session.emplace_back(lower_name(r.cells[1]), r.cells[2]), true;
  if (letter == 'v') return out.named.emplace_back(lower_name(r.cells[1]), r.null[2] ? std::nullopt : std::optional<std::string>(r.cells[2])), true;
  if (letter == 'x') return out.triggers = true;
  if (letter == 'p') out.statements.emplace_back(r.cells[1]);
  for (const auto& q : questions)
    if (q.letter == letter) return out.state |= q.bit, true;
  return false;
}

// pg_show_all_settings() leaves them out: that they are not among the session's says nothing.
bool is_identity(std::string_view name) noexcept { return name == "role" || name == "session_authorization"; }

bool is_default(const std::string& name, const std::string& value, std::string_view user) noexcept {
  return (name == "role" && value == "none") || (name == "session_authorization" && value == user) || of_transaction(name);
}

}  // namespace

constinit const std::string_view speaks_of_state =
    "prosrc OPERATOR(pg_catalog.~*) E'\\\\mset_config\\\\M|(;|\\\\mbegin|\\\\mthen|\\\\melse|\\\\mloop)\\\\s*(re)?set\\\\s|\\\\mtemp(orary)?\\\\M|\\\\mpg_temp|"
    "\\\\mpg_(try_)?advisory_lock|\\\\m(listen|prepare|setseed)\\\\M|\\\\mwith\\\\s+hold\\\\M|\\\\mdblink_connect|\\\\mload\\\\s'";

// The settings of its own come behind those that are asked for.
std::string probe_sql(const probe& asked) {
  std::string sql(own_isolation);
  for (const auto& q : questions)
    if ((asked.state & q.bit) != 0 && q.bit != state::temp_objects) sql += q.sql;
  if (asked.all_settings)
    sql += "SELECT 's', name, setting FROM pg_catalog.pg_show_all_settings() WHERE source OPERATOR(pg_catalog.=) 'session';";
  for (const auto& name : asked.names) {
    const auto quoted = quoted_literal(name);
    sql += "SELECT 'v', " + quoted + ", pg_catalog.current_setting(" + quoted + ", true);";
  }
  const bool temporary = (asked.state & state::temp_objects) != 0;
  if (temporary || asked.triggers) sql += "SET LOCAL lock_timeout TO 100;";
  if (temporary) sql += questions[0].sql;
  if (asked.triggers) sql.append(triggers_sql).append(speaks_of_state).append(beside_triggers);
  return sql;
}

std::optional<findings> read_findings(std::string_view rows) {
  findings out;
  while (!rows.empty()) {
    protocol::frame_header header;
    if (protocol::read_header(rows, protocol::peer::backend, protocol::max_frame_size, header) != protocol::frame_error::none) return std::nullopt;
    if (header.size > rows.size()) return std::nullopt;
    const auto read = read_row(rows.substr(protocol::frame_header_size, header.size - protocol::frame_header_size));
    if (!read || !take_row(*read, out)) return std::nullopt;
    rows.remove_prefix(header.size);
  }
  return out;
}

void known_defaults::learn(const probe& asked, const findings& found) {
  if (!asked.all_settings) return;
  for (const auto& [name, value] : found.named) {
    const bool made = std::any_of(found.session.begin(), found.session.end(), [&n = name](const auto& one) { return one.first == n; });
    // A client's application_name is none of a server's: whether it was reset has to be asked every time.
    if (made || !value || is_custom(name) || is_identity(name) || name == "application_name") continue;
    const auto known = std::find_if(values_.begin(), values_.end(), [&n = name](const auto& one) { return one.first == n; });
    if (known != values_.end()) known->second = *value;
    else if (values_.size() < limit) values_.emplace_back(name, *value);
  }
}

const std::string* known_defaults::find(std::string_view name) const noexcept {
  const auto known = std::find_if(values_.begin(), values_.end(), [name](const auto& one) { return one.first == name; });
  return known == values_.end() ? nullptr : &known->second;
}

settings_ptr settings_after(const settings_ptr& before, const probe& asked, const findings& found, const known_defaults& defaults,
                            const std::vector<std::string>& own, std::string_view user) {
  std::map<std::string, std::string> now;
  if (before)
    for (const auto& [name, value] : before->values())
      if (!asked.all_settings || is_custom(name) || is_identity(name)) now[name] = value;
  for (const auto& [name, value] : found.session) now[name] = value;
  for (const auto& [name, value] : found.named) {
    const bool custom = is_custom(name), who = is_identity(name);
    if (asked.all_settings && !custom && !who) continue;  // found.session knows better
    const auto* plain = defaults.find(name);
    const bool mine = std::find(own.begin(), own.end(), name) != own.end() || (before && before->find(name));
    const bool left = value && (custom ? !value->empty() || mine : !is_default(name, *value, user) && !(plain && *plain == *value));
    if (left) now[name] = *value;
    else now.erase(name);
  }
  std::erase_if(now, [&](const auto& one) { return is_default(one.first, one.second, user); });
  return make_settings({now.begin(), now.end()});
}

}  // namespace proxy
