#include "proxy/console/admin_help.h"

#include <array>

namespace proxy {
namespace {

constexpr auto helps = std::to_array<admin_help>({
    {"SHOW SHARDS", "SHOW SHARDS", "shards with state, DSN and what they own"},
    {"SHOW RANGES", "SHOW RANGES", "every range of every distribution with its owner"},
    {"SHOW TABLES", "SHOW TABLES", "sharded and reference tables, and whether the ownership guard stands"},
    {"SHOW MIGRATIONS", "SHOW MIGRATIONS", "migrations with state and progress"},
    {"SHOW MIGRATION", "SHOW MIGRATION 7", "one migration: progress, throttle, timings, journal"},
    {"SHOW ORPHANS", "SHOW ORPHANS", "rows on a shard that does not own them, by shard and table (reads every sharded table)"},
    {"SHOW SEQUENCES", "SHOW SEQUENCES", "sequences of sharded tables, and those that give out values of other shards"},
    {"SHOW CATALOG", "SHOW CATALOG", "the catalog's connection, the term of this pgrotor and its lease"},
    {"SHOW PREPARED", "SHOW PREPARED", "branches of transactions over several shards that are prepared, and what they wait for"},
    {"SHOW POOLS", "SHOW POOLS", "server connections per user, database and shard"},
    {"SHOW CLIENTS", "SHOW CLIENTS", "connected clients"},
    {"SHOW SERVERS", "SHOW SERVERS", "open server connections"},
    {"SHOW STATS", "SHOW STATS", "what each worker has counted since the start"},
    {"SHOW CONFIG", "SHOW CONFIG", "the configuration in force, passwords left out"},
    {"SHOW VERSION", "SHOW VERSION", "version of pgrotor"},
    {"SHOW HELP", "SHOW HELP", "this list"},
    {"HELP", "HELP", "the same"},
    {"ADD SHARD", "ADD SHARD s4 'host=127.0.0.1 port=5432 dbname=shop'", "checks a shard, prepares it and puts it into the map"},
    {"REMOVE SHARD", "REMOVE SHARD s1", "takes a shard that owns nothing out of the map"},
    {"DISTRIBUTE TABLE", "DISTRIBUTE TABLE [schema.]orders BY customer_id [IN DISTRIBUTION shop] [WITH (trust = 'trigger, ...')]", "shards a table by a column"},
    {"REFERENCE TABLE", "REFERENCE TABLE [schema.]countries", "declares a table that every shard holds whole"},
    {"GUARD TABLE", "GUARD TABLE [schema.]orders", "no shard stores rows of it that it does not own, whoever writes; so after DISTRIBUTE"},
    {"UNGUARD TABLE", "UNGUARD TABLE [schema.]orders", "switches that guard off, until GUARD TABLE"},
    {"ALIGN SEQUENCES", "ALIGN SEQUENCES OF [schema.]orders [ABOVE 12345]", "lets its sequences go on above that and all given values, each shard with its own"},
    {"DRAIN SHARD", "DRAIN SHARD s1 [TO s2, s3] [WITH (max_rate = '20MB', ...)]", "moves everything sharded away from a shard"},
    {"MOVE RANGE", "MOVE RANGE [a, b) OF shop TO s4 [WITH (...)]", "moves the placements from a up to, not including, b"},
    {"PAUSE MIGRATION", "PAUSE MIGRATION 7", "stops copying; what is held stays resumable"},
    {"RESUME MIGRATION", "RESUME MIGRATION 7 [ACCEPT TARGET | KEEP SOURCE]", "goes on with a paused migration, or one whose rows differ"},
    {"CANCEL MIGRATION", "CANCEL MIGRATION 7", "gives a migration up before its switch and cleans up"},
    {"CUTOVER MIGRATION", "CUTOVER MIGRATION 7", "switches a migration that is READY (auto_cutover = off)"},
    {"RETRY MIGRATION", "RETRY MIGRATION 7", "begins a failed migration again"},
    {"PAUSE", "PAUSE [database]", "gives out no server connection, and waits until all are back and closed"},
    {"RESUME", "RESUME [database]", "ends PAUSE and KILL"},
    {"RECONNECT", "RECONNECT [database]", "closes server connections, those in use when their transaction ends"},
    {"KILL", "KILL database", "ends its clients and server connections; RESUME lets new ones in"},
    {"RELOAD", "RELOAD", "reads configuration and users again, and tells what changed and what takes a restart"},
    {"SHUTDOWN", "SHUTDOWN", "as SIGTERM: open transactions may end"},
    {"EXPLAIN ROUTE", "EXPLAIN ROUTE <sql>", "where a statement would run under the current map, and why"},
    {"EXPLAIN", "EXPLAIN <a command that changes something>", "its plan as rows; nothing is done"},
});

}  // namespace

std::span<const admin_help> admin_helps() noexcept { return helps; }

}  // namespace proxy
