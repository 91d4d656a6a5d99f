#include "proxy/state/equal_settings.h"

#include <algorithm>

#include <fmt/format.h>

#include "migration/plan/answer_settings.h"
#include "migration/shard/identity.h"
#include "protocol/frame.h"
#include "protocol/wire.h"
#include "proxy/state/probe.h"
#include "proxy/state/settings.h"

namespace proxy {

namespace {

constexpr std::string_view of_database = "database ";  // datcollate and the like, which have no setting

// No row is wrong because of the language of messages; what depends on the database's locale is looked at where tables are known
// (migration/shard/equal_shards.cc).
bool may_differ(std::string_view name) noexcept { return name == "lc_messages" || name.starts_with(of_database); }

// Made up by applications, or hidden from pg_settings: known to a server only once somebody has named them.
bool is_named(std::string_view name) noexcept { return name == "role" || (is_custom(name) && !name.starts_with(of_database)); }

std::string_view unset_value(std::string_view name) noexcept { return name == "role" ? "none" : ""; }

std::string literals(const auto& names) {
  std::string list;
  for (const auto& one : names) list += (list.empty() ? "" : ",") + quoted_literal(one);
  return list;
}

// Where pg_db_role_setting holds something for this session.
constexpr std::string_view stored =
    "FROM pg_catalog.pg_db_role_setting s WHERE s.setdatabase OPERATOR(pg_catalog.=) ANY (ARRAY['0'::oid, (SELECT d.oid FROM pg_catalog.pg_database d "
    "WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database())]) AND s.setrole OPERATOR(pg_catalog.=) ANY (ARRAY['0'::oid, (SELECT r.oid "
    "FROM pg_catalog.pg_roles r WHERE r.rolname OPERATOR(pg_catalog.=) session_user)])";

struct row {
  std::string_view cells[4];
};

std::optional<row> read_row(std::string_view body) {
  protocol::wire_reader in(body);
  row out;
  if (in.read<std::int16_t>() != 4) return std::nullopt;
  for (auto& cell : out.cells) {
    const auto size = in.read<std::int32_t>();
    if (size > 0) cell = in.read_bytes(static_cast<std::size_t>(size));
  }
  return in.done() ? std::optional(out) : std::nullopt;
}

setting_seen::set_by who_sets(std::string_view context) noexcept {
  if (context == "user") return setting_seen::set_by::user;
  return context == "superuser" ? setting_seen::set_by::superuser : setting_seen::set_by::nobody;
}

bool take_row(const row& r, server_settings& out) {
  const auto& [letter, name, value, context] = r.cells;
  if (letter == "f") {
    out.hidden_functions = true;
  } else if (letter == "d") {
    out.stored.push_back(fmt::format("{} {}", name, value));
  } else if (letter == "s") {
    out.all.push_back({std::string(name), std::string(value), who_sets(context)});
  } else if (letter == "n") {
    out.all.push_back({lower_name(name), std::string(value), setting_seen::set_by::user});
  } else {
    return false;
  }
  return true;
}

bool by_name(const setting_seen& a, const setting_seen& b) { return a.name < b.name; }

std::string words(std::string_view name, std::string_view here, std::string_view standard) {
  return fmt::format("{} is {}, {} on the default shard", name, quoted_literal(here), quoted_literal(standard));
}

void compare_one(const setting_seen& standard, const server_settings& server, bool superuser, comparison& out) {
  const auto* here = server.find(standard.name);
  if (!here && !is_named(standard.name)) {
    const bool off = standard.value.empty() || standard.value == "0";  // of a newer version, and not used
    if (!off) out.told.push_back(fmt::format("{} does not exist there", standard.name));
    return;
  }
  const auto value = here ? std::string_view(here->value) : unset_value(standard.name);
  if (value == standard.value) return;
  // Whoever keeps a shard from being written means it.
  if (standard.name == "default_transaction_read_only" && value == "on") return out.told.push_back(words(standard.name, value, standard.value));
  const bool ours = !here || here->by == setting_seen::set_by::user || (here->by == setting_seen::set_by::superuser && superuser);
  if (ours) return out.give.emplace_back(standard.name, standard.value), void();
  (may_differ(standard.name) ? out.told : out.refused).push_back(words(standard.name, value, standard.value));
}

}  // namespace

const setting_seen* server_settings::find(std::string_view name) const noexcept {
  const auto found = std::find_if(all.begin(), all.end(), [name](const setting_seen& one) { return one.name == name; });
  return found == all.end() ? nullptr : &*found;
}

std::string settings_question(std::span<const std::string> names) {
  std::string sql(own_isolation);
  sql += migration::no_time_limits;
  sql += "SELECT 's', name, reset_val, context FROM pg_catalog.pg_show_all_settings() WHERE name OPERATOR(pg_catalog.=) ANY (ARRAY[" +
                    literals(migration::settings_of_answers) + "]) ";
  // Every version has other columns for locales; before 15 the provider was always libc.
  sql += "UNION ALL SELECT 's', pg_catalog.concat('database ', l.key), l.value, 'internal' FROM pg_catalog.pg_database d, "
         "pg_catalog.jsonb_each_text('{\"datlocprovider\": \"c\"}'::pg_catalog.jsonb OPERATOR(pg_catalog.||) pg_catalog.to_jsonb(d)) l "
         "WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database() AND l.key OPERATOR(pg_catalog.=) ANY ('{datcollate,datctype,datlocprovider}'::text[]) ";
  sql += "UNION ALL SELECT 'd', pg_catalog.concat(s.setdatabase, ' ', s.setrole), s.setconfig::text, '' " + std::string(stored) + " ";
  sql += "UNION ALL SELECT 'n', n, pg_catalog.current_setting(n, true), '' FROM (SELECT pg_catalog.lower(pg_catalog.split_part(one, '=', 1)) AS n FROM "
         "(SELECT pg_catalog.unnest(s.setconfig) AS one " + std::string(stored) + ") c UNION SELECT pg_catalog.unnest(ARRAY[" + literals(names) + "]::text[])) o "
         "WHERE pg_catalog.strpos(n, '.') OPERATOR(pg_catalog.>) 0 OR n OPERATOR(pg_catalog.=) 'role'";
  // One of the user's may fit a call better than PostgreSQL's own of that name, which comes first only among equals (manual 10.3).
  sql += " UNION ALL (SELECT 'f', '', '', '' FROM pg_catalog.pg_proc f WHERE f.oid OPERATOR(pg_catalog.>=) 16384 AND EXISTS (SELECT FROM pg_catalog.pg_proc b "
         "WHERE b.proname OPERATOR(pg_catalog.=) f.proname AND b.pronamespace OPERATOR(pg_catalog.=) 11) AND f." + std::string(speaks_of_state) + " LIMIT 1)";
  return sql;
}

std::optional<server_settings> read_server_settings(std::string_view rows) {
  server_settings out;
  while (!rows.empty()) {
    protocol::frame_header header;
    if (protocol::read_header(rows, protocol::peer::backend, protocol::max_frame_size, header) != protocol::frame_error::none) return std::nullopt;
    if (header.size > rows.size()) return std::nullopt;
    const auto read = read_row(rows.substr(protocol::frame_header_size, header.size - protocol::frame_header_size));
    if (!read || !take_row(*read, out)) return std::nullopt;
    rows.remove_prefix(header.size);
  }
  if (out.all.empty()) return std::nullopt;
  std::sort(out.all.begin(), out.all.end(), by_name);
  std::sort(out.stored.begin(), out.stored.end());
  return out;
}

std::vector<std::string> names_to_ask(const server_settings& settings) {
  std::vector<std::string> names;
  for (const auto& one : settings.all)
    if (is_named(one.name)) names.push_back(one.name);
  return names;
}

bool started_alike(const server_settings& a, const server_settings& b) {
  const auto same = [](const setting_seen& one, const server_settings& other) {
    const auto* there = other.find(one.name);
    return is_named(one.name) || (there && *there == one);
  };
  const auto all_in = [&](const server_settings& one, const server_settings& other) {
    return std::all_of(one.all.begin(), one.all.end(), [&](const setting_seen& each) { return same(each, other); });
  };
  return a.stored == b.stored && all_in(a, b) && all_in(b, a);
}

comparison compare_settings(const server_settings& standard, const server_settings& here, bool superuser) {
  comparison out;
  for (const auto& one : standard.all) compare_one(one, here, superuser, out);
  for (const auto& one : here.all) {
    const bool extra = is_named(one.name) && !standard.find(one.name) && one.value != unset_value(one.name);
    if (extra) out.give.emplace_back(one.name, unset_value(one.name));
  }
  return out;
}

}  // namespace proxy
