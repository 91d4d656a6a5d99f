// Versions of what pgrotor has made in schema pgrotor: of the catalog, and of each shard; one database may be both. schema_version.cc lists
// the steps that lead to the version which this build makes, and works with: no other. Run by `init` and ADD SHARD, asked by all.
//
// A change of tables is a new step, sql/catalog_N.sql or sql/shard_N.sql, at the end of the list; no earlier step is edited. A step uses
// what earlier steps have made, and no function of the scripts: those come behind all steps, as this build has them. A change of functions
// that another build would not bear is a step too, if only one that drops the old ones. More of this in migration/README.md.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "migration/pg/pg.h"
#include "protocol/backend.h"

namespace migration {

enum class schema_part { catalog, shard };

int version_made(schema_part) noexcept;  // by this build

struct schema_version {
  bool made = false;
  int number = 0;  // 0: made by a build that knew no versions
  std::string build;
};
task<schema_version> read_version(pg::connection&, schema_part);
// Why this build does not work with it, with the database's name and what helps; nothing is wrong: nullopt.
std::optional<protocol::notice> version_problem(const pg::connection&, schema_part, const schema_version& found);
// Of a shard that has said this instead of taking a greeting (sql/identity.sql), which all versions have; another error: nullopt.
std::optional<protocol::notice> greeting_problem(std::string_view code);
// The same with the name of the connection in front.
protocol::notice named(const pg::connection&, protocol::notice problem);

struct upgrade_report {
  bool made = false;  // there was nothing
  int from = 0, to = 0;
  bool upgraded() const noexcept { return !made && from < to; }
  std::string text() const;
};
// What belongs to an upgrade besides, inside of its transaction.
struct upgrade_hooks {
  std::function<task<void>()> before;  // the first step, where there is something to upgrade
  std::function<task<void>(const upgrade_report&)> after;
};
// Makes the part, or brings it to this build's version, or sees that it has it; its functions are made anew in any case. One transaction,
// and one at a time in a database. Refuses what a newer pgrotor has made.
task<upgrade_report> upgrade_schema(pg::connection&, schema_part, upgrade_hooks = {});

}  // namespace migration
