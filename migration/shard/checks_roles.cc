// Roles that own what moves, or have rights on it, can do on the target what they can on the source (checks.h).
#include <map>
#include <set>

#include <fmt/format.h>

#include "migration/shard/checks.h"
#include "protocol/sqlstate.h"

namespace migration {
namespace {

namespace sqlstate = protocol::sqlstate;

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
    found.add(sqlstate::wrong_state, fmt::format("{}: role {} {}", target, role, what), fmt::format("On {} it is otherwise.", source), "Run: " + statement);
  };
  if (here.logs_in && !there.logs_in) say("cannot log in", fmt::format("ALTER ROLE {} LOGIN;", quoted));
  if (here.passes_policies && !there.passes_policies) say("is subject to row security", fmt::format("ALTER ROLE {} BYPASSRLS;", quoted));
  if (!here.passes_policies && there.passes_policies) say("is not subject to row security", fmt::format("ALTER ROLE {} NOBYPASSRLS;", quoted));
  if (here.logs_in && here.connects && !there.connects) {
    say("may not connect to the database", fmt::format("DO $$ BEGIN EXECUTE format('GRANT CONNECT ON DATABASE %I TO {}', current_database()); END $$;", quoted));
  }
}

}  // namespace

task<void> check_roles(pg::connection& source, pg::connection& target, std::set<std::string> roles, problems& found) {
  const auto here = co_await rights_of_roles(source, roles);
  const auto there = co_await rights_of_roles(target, roles);
  for (const auto& [role, rights] : here) {
    const auto known = there.find(role);
    if (known != there.end()) {
      compare_role(role, rights, known->second, source.where(), target.where(), found);
      continue;
    }
    const std::string log_in = rights.logs_in ? " It logs in: give it the password that it has there (rolpassword of pg_authid)." : "";
    found.add(sqlstate::undefined_object, fmt::format("{}: role {} does not exist", target.where(), role),
              fmt::format("On {} it owns what moves, or has rights on it.{}", source.where(), log_in),
              fmt::format("Run: CREATE ROLE {} {};", pg::quote_ident(role), rights.logs_in ? "LOGIN" : "NOLOGIN"));
  }
}

}  // namespace migration
