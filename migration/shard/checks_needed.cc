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

// Which of them the target has.
task<identities> present_on(pg::connection& target, const std::vector<needed_object>& needed) {
  std::string names;
  for (const auto& each : needed) names += (names.empty() ? "" : ", ") + pg::quote_literal(each.name);
  const auto rows = co_await target.query(
      fmt::format("SELECT i.type, i.identity FROM ({}) o, pg_identify_object(o.classid, o.oid, 0) i WHERE o.name = ANY (ARRAY[{}]::text[])",
                  sql::named_objects, names));
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
      if (each.kind == "role") roles_.insert(each.name);
    }
  }

  // Roles, schemas, extensions, then the others in the order in which one can be made after the other.
  task<void> tell(const std::string& pg_dump, problems& found) {
    for (const auto& each : missing_) {
      if (each.extension.empty() && !each.owner.empty()) roles_.insert(each.owner);
    }
    co_await check_roles(source_, target_, roles_, found);
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
  std::set<std::string> schemas_, roles_;
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
