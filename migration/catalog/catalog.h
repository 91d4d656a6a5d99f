// The catalog: schema `pgrotor` of one PostgreSQL database, the truth about maps and migrations. Every durable step is a
// compare-and-set on the epoch of the coordinator's term; a step that finds a newer epoch throws `superseded` and its coordinator
// must stop. One connection, one operation at a time, the coordinator's thread.
#pragma once

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "migration/catalog/process_mark.h"
#include "migration/catalog/schema_version.h"
#include "migration/pg/pg.h"
#include "migration/plan/gates.h"
#include "migration/plan/lease.h"
#include "migration/plan/state.h"
#include "routing/map/shard_map.h"

namespace migration {

// Another coordinator has a newer epoch.
class superseded : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

// The catalog's connection broke: whatever was under way may or may not have been committed. The coordinator opens a new term and
// reads the rows again.
class catalog_lost : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct journal_entry {
  std::string from, to;      // states; equal for a step inside one state
  std::string step;          // "cutover.2", "chunk plan", ...
  std::uint32_t attempt = 0;
  std::uint64_t elapsed_us = 0;
  std::string note;
};

// An object that a migration makes on a shard, written before it is made.
struct ledger_entry {
  routing::shard_id shard;
  std::string kind;  // slot, publication, origin, trigger, function, register, table
  std::string name;
};

// The cleanup ledger, as those see it who make and drop objects.
class ledger {
 public:
  virtual ~ledger() = default;
  virtual task<void> write_ledger(std::uint64_t migration, std::vector<ledger_entry>) = 0;
  virtual task<std::vector<ledger_entry>> read_ledger(std::uint64_t migration) = 0;
  virtual task<void> strike_ledger(std::uint64_t migration, ledger_entry) = 0;  // the object is gone
};

class catalog : public ledger {
 public:
  // Connects and begins a term: epoch + 1. The lease of another process is waited for, unless that process is known to be gone; when it
  // is renewed meanwhile, refuses and names who does. `again`: this owner has had the term before; throws superseded when somebody else
  // has had one since, or upgraded the catalog. Throws sql_error; refused where the catalog is not of this build's version.
  static task<std::unique_ptr<catalog>> open(boost::asio::any_io_executor, pg::connect_options, term_owner, bool again = false);

  std::uint64_t epoch() const noexcept { return epoch_; }
  boottime begun() const noexcept { return begun_; }  // when the term was asked for: its first lease counts from then
  const cluster_mark& cluster() const noexcept { return cluster_; }
  task<void> end_term();     // gives the lease back: a successor need not wait
  task<void> ping();         // throws when the connection is lost
  task<std::uint32_t> next_shard_number();  // each only once
  pg::connection& connection() noexcept { return *connection_; }

  // Maps. load_map reads the newest generation whole and checks its checksum; nullptr before the first shard was added.
  task<std::shared_ptr<const routing::shard_map>> load_map();
  // Writes generation N+1 (number is taken from the parts) as one transaction that fails when the newest is not N.
  task<void> save_map(const routing::shard_map::parts&, std::string reason);

  // True when exactly this map was once saved: asked after a save_map whose answer was lost.
  task<bool> has_map(const routing::shard_map::parts&);

  // Migrations. `insert` gives them their ids, and their job where it was not drawn before; all or none, together with a map of the next
  // generation where one is given.
  task<std::uint64_t> next_job();
  task<bool> has_job(std::uint64_t);
  task<std::vector<migration_row>> insert(std::vector<migration_row>, const routing::shard_map::parts* = nullptr, std::string reason = {});
  task<std::vector<migration_row>> load_migrations();
  // Persists a transition or a change of attempt, error or figures: compare-and-set on (id, state `from`, epoch <= mine), with a
  // journal entry in the same transaction. Throws superseded, or std::logic_error when may_go() says no.
  task<void> advance(migration_row&, state from, state to, journal_entry);
  // The commit point (cutover step 4), one transaction: map N+1 and CUTTING_OVER -> SWITCHED. When the connection breaks at COMMIT
  // this throws sql_error with connection_lost; reopen and read the row again, never assume.
  task<void> commit_switch(migration_row&, const routing::shard_map::parts&, journal_entry);
  // The same statements are parsed and planned ahead of the pause.
  task<void> warm_switch();
  task<void> journal(std::uint64_t migration, std::vector<journal_entry>);
  task<std::vector<std::pair<std::string, journal_entry>>> read_journal(std::uint64_t migration);  // with timestamps

  task<void> write_ledger(std::uint64_t migration, std::vector<ledger_entry>) override;
  task<std::vector<ledger_entry>> read_ledger(std::uint64_t migration) override;
  task<void> strike_ledger(std::uint64_t migration, ledger_entry) override;

 private:
  catalog(std::unique_ptr<pg::connection>, term_owner);
  std::unique_ptr<pg::connection> connection_;
  term_owner owner_;
  cluster_mark cluster_;
  std::uint64_t epoch_ = 0;
  boottime begun_{};
};

// Makes schema pgrotor of the catalog or brings it to this build's version. Refuses a copy of a catalog, one that a newer pgrotor has made, and
// to upgrade one that somebody works on. Nobody who had the term before has it after an upgrade.
struct upgraded_catalog {
  cluster_mark cluster;
  upgrade_report report;
};
task<upgraded_catalog> init_catalog(pg::connection&);
// Refuses one that is not of this build's version; nothing is changed.
task<void> check_catalog_version(pg::connection&);
// Which cluster's it is; throws sql_error.
task<cluster_mark> read_cluster(pg::connection&);

}  // namespace migration
