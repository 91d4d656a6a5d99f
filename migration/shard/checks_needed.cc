// What must be on a target before tables can be made there: by PostgreSQL's dependencies, so that everything is told at once and with the
// source's own statements, and then by trying it (checks.h).
#include <algorithm>
#include <map>
#include <set>

#include <fmt/format.h>

#include "migration/base/sql.h"
#include "migration/shard/checks.h"
#include "migration/shard/schema_copy.h"
#include "migration/shard/sql_text.h"
#include "protocol/sqlstate.h"

namespace migration {
namespace {

namespace sqlstate = protocol::sqlstate;

struct needed_object {
  std::string kind, identity;  // as pg_identify_object says: type, public.mood
  std::string name, schema, owner, extension, statement;
};

using identities = std::set<std::pair<std::string, std::string>>;

task<std::vector<needed_object>> needed_by(pg::connection& source, const std::vector<moving_table>& tables) {
  auto sql = replaced(std::string(sql::needed_objects), "$objects", sql::named_objects);
  const auto rows = co_await source.query(replaced(std::move(sql), "$tables", relation_array(tables)));
  std::vector<needed_object> out;
  for (int row = 0; row < rows.rows(); ++row) {
    out.push_back({rows.str(row, 0), rows.str(row, 1), rows.str(row, 2), rows.str(row, 3), rows.str(row, 4), rows.str(row, 5),
                   rows.str(row, 6)});
  }
  co_return out;
}

// Which of them the target has; roles as kind "role", owners among them.
task<identities> present_on(pg::connection& target, const std::vector<needed_object>& needed) {
  std::string names, roles;
  for (const auto& each : needed) {
    names += (names.empty() ? "" : ", ") + pg::quote_literal(each.name);
    roles += (roles.empty() ? "" : ", ") + pg::quote_literal(each.kind == "role" ? each.name : each.owner);
  }
  const auto rows = co_await target.query(
      fmt::format("SELECT i.type, i.identity FROM ({}) o, pg_identify_object(o.classid, o.oid, 0) i WHERE o.name = ANY (ARRAY[{}]::text[])"
                  " UNION SELECT 'role', rolname FROM pg_roles WHERE rolname = ANY (ARRAY[{}]::text[])",
                  sql::named_objects, names, roles));
  identities out;
  for (int row = 0; row < rows.rows(); ++row) out.emplace(rows.str(row, 0), rows.str(row, 1));
  co_return out;
}

std::string squeezed(std::string text) {
  std::erase_if(text, [](char c) { return c == ' ' || c == '"'; });
  return replaced(std::move(text), "pg_catalog.", "");
}

std::string kind_of(const dump_entry& entry) {
  if (entry.type == "DOMAIN" || entry.type == "SHELL TYPE") return "type";
  if (entry.type == "PROCEDURAL LANGUAGE") return "language";
  std::string kind = entry.type;
  for (auto& c : kind) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return kind;
}

// pg_dump names functions with their arguments, everything else by its name alone.
bool is_entry_of(const dump_entry& entry, const needed_object& object) {
  if (kind_of(entry) != object.kind || (entry.schema != "-" && entry.schema != object.schema)) return false;
  const auto arguments = object.identity.find('(');
  if (entry.name == object.name) return true;
  return arguments != std::string::npos && squeezed(entry.name) == squeezed(object.name + object.identity.substr(arguments));
}

void add_missing(const std::string& where, const std::string& kind, const std::string& identity, const std::string& whose,
                 const std::string& hint, problems& found) {
  found.add(sqlstate::undefined_object, fmt::format("{}: {} {} does not exist", where, kind, identity), whose, hint);
}

// What decides whether a role's statements succeed on a shard and see the same rows, and the statement that makes it so.
struct role_rights {
  bool logs_in = false, passes_policies = false, connects = false;
};

task<std::map<std::string, role_rights>> rights_of_roles(pg::connection& shard, const std::set<std::string>& roles) {
  std::string names;
  for (const auto& role : roles) names += (names.empty() ? "" : ", ") + pg::quote_literal(role);
  const auto rows = co_await shard.query("SELECT rolname, rolcanlogin, rolbypassrls OR rolsuper, has_database_privilege(oid, current_database(), 'CONNECT')"
                                         " FROM pg_roles WHERE rolname = ANY (ARRAY[" + names + "]::text[])");
  std::map<std::string, role_rights> out;
  for (int row = 0; row < rows.rows(); ++row) {
    auto& one = out[rows.str(row, 0)];
    one.logs_in = rows.boolean(row, 1);
    one.passes_policies = rows.boolean(row, 2);
    one.connects = rows.boolean(row, 3);
  }
  co_return out;
}

// Of a role that is on both: what it may do on the source it must be able to do on the target.
void compare_role(const std::string& role, const role_rights& here, const role_rights& there, const std::string& source, const std::string& target,
                  problems& found) {
  const auto quoted = pg::quote_ident(role);
  const auto say = [&](std::string_view what, const std::string& statement) {
    found.add(sqlstate::wrong_state, fmt::format("{}: role {} {}", target, quoted, what), fmt::format("On {} it is otherwise.", source), "Run: " + statement);
  };
  if (here.logs_in && !there.logs_in) say("cannot log in", fmt::format("ALTER ROLE {} LOGIN;", quoted));
  if (here.passes_policies && !there.passes_policies) say("is subject to row security", fmt::format("ALTER ROLE {} BYPASSRLS;", quoted));
  if (!here.passes_policies && there.passes_policies) say("is not subject to row security", fmt::format("ALTER ROLE {} NOBYPASSRLS;", quoted));
  if (here.logs_in && here.connects && !there.connects) {
    say("may not connect to the database", fmt::format("DO $$ BEGIN EXECUTE format('GRANT CONNECT ON DATABASE %I TO {}', current_database()); END $$;", quoted));
  }
}

class missing_objects {
 public:
  missing_objects(pg::connection& source, pg::connection& target, const std::vector<moving_table>& tables)
      : source_(source), target_(target) {
    for (const auto& table : tables) {
      names_ += (names_.empty() ? "" : ", ") + plain_name(table);
      schemas_.insert(table.schema);
    }
    names_ = (tables.size() == 1 ? "A table that is to be made there needs it: " : "Tables that are to be made there need it: ") + names_ + ".";
  }

  task<void> find(const std::vector<moving_table>& tables) {
    const auto needed = co_await needed_by(source_, tables);
    if (needed.empty()) co_return;
    present_ = co_await present_on(target_, needed);
    for (const auto& each : needed) {
      if (each.kind != "role" && each.kind != "extension" && !is_there(each)) missing_.push_back(each);
      if (each.kind == "extension") extensions_.emplace(each.name, each);
    }
    // Told with the table.
    std::erase_if(missing_, [this](const auto& each) { return each.kind == "schema" && schemas_.contains(each.name); });
    for (const auto& each : needed) {
      if (each.kind == "role") need_role(each.name);
    }
  }

  // Roles, schemas, extensions, then the others in the order in which one can be made after the other.
  task<void> tell(const std::string& pg_dump, problems& found) {
    for (const auto& each : missing_) {
      if (each.extension.empty() && !each.owner.empty()) need_role(each.owner);
    }
    const auto here = co_await rights_of_roles(source_, needed_roles_);
    const auto there = co_await rights_of_roles(target_, needed_roles_);
    for (const auto& [role, rights] : here) {
      const auto known = there.find(role);
      if (known != there.end()) compare_role(role, rights, known->second, source_.where(), target_.where(), found);
      if (!roles_.contains(role)) continue;
      const std::string log_in = rights.logs_in ? fmt::format(" It logs in: give it the password that it has on {} (rolpassword of pg_authid).", source_.where()) : "";
      add_missing(target_.where(), "role", role, names_ + log_in,
                  fmt::format("Run: CREATE ROLE {} {};", pg::quote_ident(role), rights.logs_in ? "LOGIN" : "NOLOGIN"), found);
    }
    std::vector<dump_entry> entries;
    std::vector<std::string> options{"--exclude-table=*", "--exclude-schema=pgrotor"};
    const bool others = std::ranges::any_of(missing_, [](const auto& each) { return each.extension.empty(); });
    if (others) entries = co_await run_pg_dump(source_, pg_dump, std::move(options));
    const auto rest = std::ranges::stable_partition(entries, [](const auto& entry) { return entry.type == "SCHEMA"; });
    for (auto entry = entries.begin(); entry != rest.begin(); ++entry) tell_entry(*entry, found);
    for (const auto& each : missing_) tell_extension(each, found);
    for (const auto& entry : rest) tell_entry(entry, found);
    for (const auto& each : missing_) {
      if (each.extension.empty() && !told_.contains({each.kind, each.identity})) {
        add_missing(target_.where(), each.kind, each.identity, names_,
                    each.statement.empty() ? fmt::format("Make it there as it is on {}.", source_.where()) : "Run: " + each.statement, found);
      }
    }
  }

 private:
  bool is_there(const needed_object& each) const { return present_.contains({each.kind, each.identity}); }

  void need_role(const std::string& name) {
    needed_roles_.insert(name);
    if (!present_.contains({"role", name})) roles_.insert(name);
  }

  void tell_extension(const needed_object& each, problems& found) const {
    const auto extension = extensions_.find(each.extension);
    if (extension == extensions_.end()) return;
    if (!is_there(extension->second)) {
      add_missing(target_.where(), "extension", extension->second.identity, names_, "Run: " + extension->second.statement, found);
    } else {
      const auto& name = extension->second.identity;
      add_missing(target_.where(), each.kind, fmt::format("{} of extension {}", each.identity, name), names_,
                  fmt::format("Bring the extension to the version and schema that it has on {0}: ALTER EXTENSION {1} UPDATE; ALTER EXTENSION {1}"
                              " SET SCHEMA {2};", source_.where(), name, pg::quote_ident(each.schema)), found);
    }
  }

  void tell_entry(const dump_entry& entry, problems& found) {
    for (const auto& each : missing_) {
      if (!each.extension.empty() || !is_entry_of(entry, each)) continue;
      add_missing(target_.where(), each.kind, each.identity, names_, "Run: " + entry.sql, found);
      told_.emplace(each.kind, each.identity);
    }
  }

  pg::connection& source_;
  pg::connection& target_;
  std::string names_;
  std::set<std::string> schemas_, needed_roles_, roles_;  // roles_: those that the target has not got
  std::vector<needed_object> missing_;
  std::map<std::string, needed_object> extensions_;
  identities present_, told_;
};

}  // namespace

task<void> check_needed(pg::connection& source, pg::connection& target, const std::vector<moving_table>& tables, const std::string& pg_dump,
                        problems& found) {
  missing_objects missing(source, target, tables);
  co_await missing.find(tables);
  co_await missing.tell(pg_dump, found);
}

}  // namespace migration
