// Everything made on source and target before a move, and the checks that come first. Each object is written to the cleanup ledger
// before it is made; all of it is idempotent, so that a killed PREPARE is simply run again. lock_timeout 5-20 ms with jittered
// retry: a waiting CREATE TRIGGER would queue every writer behind it. Coordinator's thread.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "migration/base/task.h"
#include "migration/catalog/catalog.h"
#include "migration/pg/pg.h"
#include "migration/plan/moving_table.h"
#include "migration/plan/state.h"
#include "migration/shard/identity.h"
#include "protocol/backend.h"

namespace migration {

class newcomer_gate;

// Makes schema pgrotor of a shard or brings it to this build's version, and makes the database that shard, all or nothing. Refuses with the
// exact GRANTs when the role lacks rights, what a newer pgrotor has made, and another cluster's shard. Run by `init` and ADD SHARD.
task<upgrade_report> init_shard(pg::connection&, std::optional<shard_claim> = {});

// What DISTRIBUTE TABLE and PREPARE need to know of a table, read from the server's catalogs.
task<moving_table> describe_table(pg::connection&, std::string schema, std::string name, std::string key_column);
// A digest of columns, types, defaults, constraints and indexes that must not change under a migration.
task<std::string> fingerprint(pg::connection&, const std::vector<moving_table>&);
// The one that PREPARE recorded beside the guard: compare with it, so that DDL while no coordinator ran is seen. "" when there is none.
task<std::string> recorded_fingerprint(pg::connection& source, std::uint64_t migration);

// Checks of one shard as such: version, rights, wal_level, free slots, walsenders. Throws refused with everything that is wrong.
task<void> check_shard(pg::connection&);
task<void> check_new_shard(pg::connection&);  // the same of one on which there is no schema pgrotor yet
// Checks of one move (checks.cc): primary key contains the shard key, replica identity, generated or nullable keys, INHERITS,
// UNLOGGED, unique indexes without the shard key, triggers that sort after the guard, target tables alike or to be made (which is tried), no rows
// in the way.
task<void> check_tables(pg::connection& source, pg::connection& target, const routing::distribution&, const migration_row&,
                        const std::vector<moving_table>&, const std::string& pg_dump);

// Target tables that are missing (pg_dump --schema-only of the source), register and guard on both sides, publication and slot on
// the source, origins. After the slot is made it waits until pg_snapshot_xmin has passed the first snapshot's xmax.
task<void> prepare(ledger&, pg::connection& source, pg::connection& target, const routing::distribution&, const migration_row&,
                   const std::vector<moving_table>&, const std::string& pg_dump, newcomer_gate* at_source = nullptr,
                   newcomer_gate* at_target = nullptr);
// Each shard gives out every n-th value of a distributed table's sequence, those that leave its own remainder: no two give the same one.
inline constexpr std::int64_t sequence_stride = 64;
inline std::int64_t sequence_remainder(routing::shard_id shard) noexcept { return shard.value % sequence_stride; }
// Gives a sequence (as regclass writes it) stride and remainder, from above `base` on; nothing changes where it has them.
task<void> give_stride(pg::connection&, std::string sequence, routing::shard_id, std::int64_t base);
// The same, and it goes on above `base` in any case.
task<void> raise_sequence(pg::connection&, std::string sequence, routing::shard_id, std::int64_t base);
// The last value of each column's sequence, where it is higher than what is there.
task<void> find_highest(pg::connection& shard, const std::vector<moving_table>&, std::map<std::string, std::int64_t>& highest);
// PREPARE: where the source's have a stride the target's get it too, each with the remainder of its own shard, and above what all shards have
// given: a shard that is gone may have had that remainder.
task<void> align_sequences(pg::connection& source, pg::connection& target, const std::vector<moving_table>&, const migration_row&,
                           const std::map<std::string, std::int64_t>& highest);
// Sequences that the moved tables take values from, and the target's that will stand in for them.
struct sequence_pair {
  std::string source, target;  // as regclass writes them
  std::string column;          // "1.id": the table's place and the column
  std::int64_t source_last = 0, target_last = 0;
  std::int64_t increment = 1, target_increment = 1, reserve = 0;  // reserve: values that sessions may have cached
};
task<std::vector<sequence_pair>> pair_sequences(pg::connection& source, pg::connection& target, const std::vector<moving_table>&);
// VERIFYING: the target's are set ahead of the source's, by what sessions may have cached and a minute of use (200 ms when one is behind).
task<void> advance_sequences(pg::connection& source, pg::connection& target, const std::vector<moving_table>&);
// Inside the pause, after the fence: nothing takes from the source's any more. One round trip where the target's are ahead, which is the rule.
task<void> settle_sequences(pg::connection& source, pg::connection& target, const std::vector<sequence_pair>&);

}  // namespace migration
