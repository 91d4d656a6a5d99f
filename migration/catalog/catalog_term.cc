// How a term of the catalog begins and ends. Declared in migration/catalog/catalog.h.
#include <algorithm>

#include <fmt/format.h>

#include "migration/base/refused.h"
#include "migration/base/task.h"
#include "migration/catalog/catalog.h"
#include "migration/catalog/schema_version.h"
#include "protocol/sqlstate.h"

namespace migration {
namespace {

constexpr milliseconds lock_patience{3'000}, lock_poll{50}, ping_time{5'000};

[[noreturn]] void refuse_to_share(const pg::connection& connection, std::string who) {
  refuse(protocol::sqlstate::wrong_state, connection.where() + ": another coordinator works on this catalog", std::move(who),
         "Stop that pgrotor first; one coordinator serves a catalog.");
}

// As the catalog has it.
struct term_row {
  std::uint64_t epoch = 0;
  std::string process, holder, until;
  milliseconds left{};
};

task<term_row> read_term(pg::connection& connection) {
  const auto row = co_await connection.query(
      "SELECT c.epoch, l.process, l.holder, coalesce(l.until::text, ''),"
      " coalesce(ceil(extract(epoch FROM l.until - clock_timestamp()) * 1000), 0)::bigint FROM pgrotor.coordinator c, pgrotor.lease l");
  term_row now{static_cast<std::uint64_t>(row.integer(0, 0)), row.str(0, 1), row.str(0, 2), row.str(0, 3), milliseconds(row.integer(0, 4))};
  co_return now;
}

// Until nobody else's lease runs. The row as it was then; `gone`: the lease runs on, and its process does not.
task<term_row> wait_for_turn(pg::connection& connection, const term_owner& owner, bool again, bool& gone) {
  std::string first;
  for (;;) {
    const auto now = co_await read_term(connection);
    if (again && now.process != owner.process) throw superseded(fmt::format("another pgrotor has begun term {}: {}", now.epoch, now.holder));
    gone = process_is_gone(now.holder);
    if (now.process == owner.process || now.left.count() <= 0 || gone) co_return now;
    if (!first.empty() && first != now.until) refuse_to_share(connection, fmt::format("Its term {} is being renewed: {}.", now.epoch, now.holder));
    first = now.until;
    co_await sleep_for(std::min(now.left, lock_poll));
  }
}

// pgrotor before 0.2 knew no lease and held this lock alone; now all who have the term share it.
task<void> keep_out_older_versions(pg::connection& connection) {
  const auto sql = fmt::format("SELECT pg_try_advisory_lock_shared({}, 0)", coordinator_lock_namespace);
  for (const auto until = clock::now() + lock_patience;;) {
    const auto locked = co_await connection.query(sql);
    if (locked.boolean(0, 0)) co_return;
    if (clock::now() >= until) refuse_to_share(connection, "It is of an older version.");
    co_await sleep_for(lock_poll);
  }
}

// What an earlier session was in the middle of must have ended, one way or the other, before the term begins: its statements may still wait.
task<void> end_earlier_sessions(pg::connection& connection) {
  const std::string sql =
      "SELECT pg_stat_clear_snapshot(); SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
      " WHERE datname = current_database() AND usename = session_user"
      " AND application_name ~ '^pgrotor catalog ' AND pid <> pg_backend_pid()";
  for (const auto until = clock::now() + lock_patience; clock::now() < until;) {
    const auto ended = co_await connection.query(sql);
    if (ended.integer(0, 0) == 0) co_return;
    co_await sleep_for(milliseconds(5));
  }
}

// Nobody else works on the catalog any more; whose term it was last.
struct turn {
  std::string predecessor;
  bool gone = false;
};
task<turn> take_turn(pg::connection& connection, const term_owner& owner, bool again) {
  turn mine;
  const auto before = co_await wait_for_turn(connection, owner, again, mine.gone);
  mine.predecessor = before.process;
  co_await keep_out_older_versions(connection);
  co_await end_earlier_sessions(connection);
  co_return mine;
}

// NULL: somebody else was faster.
task<pg::result> ask_for_term(pg::connection& connection, turn mine, const term_owner& owner) {
  pg::text_params params{mine.predecessor, mine.gone ? "t" : "f", owner.process, owner.holder, std::to_string(owner.lease.count()),
                         std::to_string(version_made(schema_part::catalog))};
  co_return co_await connection.exec("SELECT pgrotor.begin_term($1, $2::boolean, $3, $4, $5::bigint * interval '1 ms', $6::integer)",
                                     std::move(params));
}

task<std::uint64_t> begin_term(pg::connection& connection, const term_owner& owner, bool again, boottime& asked) {
  for (;;) {
    auto mine = co_await take_turn(connection, owner, again);
    asked = boottime_now();
    const auto begun = co_await ask_for_term(connection, std::move(mine), owner);
    if (begun.is_null(0, 0)) continue;
    co_await connection.query("SET application_name = " + pg::quote_literal("pgrotor catalog " + owner.process));
    co_return static_cast<std::uint64_t>(begun.integer(0, 0));
  }
}

// An upgrade ends every term: who has had one before is superseded.
task<void> demand_version(pg::connection& connection, bool again) {
  const auto found = co_await read_version(connection, schema_part::catalog);
  const auto problem = version_problem(connection, schema_part::catalog, found);
  if (!problem) co_return;
  if (again && found.made) throw superseded(named(connection, *problem).message);
  throw refused(named(connection, *problem));
}

}  // namespace

catalog::catalog(std::unique_ptr<pg::connection> connection, term_owner owner) : connection_(std::move(connection)), owner_(std::move(owner)) {}

task<std::unique_ptr<catalog>> catalog::open(boost::asio::any_io_executor executor, pg::connect_options options, term_owner owner, bool again) {
  auto opened = co_await pg::connection::open(executor, std::move(options));
  std::unique_ptr<catalog> made(new catalog(std::move(opened), std::move(owner)));
  auto& connection = *made->connection_;
  co_await demand_version(connection, again);
  made->epoch_ = co_await begin_term(connection, made->owner_, again, made->begun_);
  made->cluster_ = co_await read_cluster(connection);
  co_return made;
}

task<void> catalog::end_term() {
  pg::text_params params{owner_.process};
  co_await connection_->exec("SELECT pgrotor.end_term($1)", std::move(params), ping_time);
}

task<void> catalog::ping() { co_await connection_->query("SELECT 1", ping_time); }

task<std::uint32_t> catalog::next_shard_number() {
  const auto next = co_await connection_->query("SELECT nextval('pgrotor.shard_number')");
  co_return static_cast<std::uint32_t>(next.integer(0, 0));
}

task<void> check_catalog_version(pg::connection& connection) { co_await demand_version(connection, false); }

task<cluster_mark> read_cluster(pg::connection& connection) {
  const auto row = co_await connection.query("SELECT c.cluster, coalesce(c.place, '') FROM pgrotor.check_catalog() c");
  cluster_mark mark{row.str(0, 0), row.str(0, 1)};
  co_return mark;
}

namespace {

// A term of its own: who had the last one, and was stopped or cut off, finds another one begun when he comes back.
class catalog_upgrade {
 public:
  explicit catalog_upgrade(pg::connection& connection) : connection_(connection) {}
  cluster_mark cluster;

  task<void> before() {
    const auto known = co_await connection_.query("SELECT to_regclass('pgrotor.lease') IS NOT NULL");
    if (known.boolean(0, 0)) turn_ = co_await take_turn(connection_, owner_, false);
    if (!known.boolean(0, 0)) co_await keep_out_older_versions(connection_);  // pgrotor 0.1.0
  }

  task<void> after(const upgrade_report& report) {
    if (report.upgraded()) {
      const auto begun = co_await ask_for_term(connection_, turn_, owner_);
      if (begun.is_null(0, 0)) refuse_to_share(connection_, "It has begun its term meanwhile.");
      co_await connection_.query("SELECT pgrotor.end_term(" + pg::quote_literal(owner_.process) + ")");
    }
    cluster = co_await read_cluster(connection_);
  }

 private:
  pg::connection& connection_;
  const term_owner owner_ = make_term_owner(milliseconds(0));
  turn turn_;
};

}  // namespace

task<upgraded_catalog> init_catalog(pg::connection& connection) {
  catalog_upgrade work(connection);
  upgrade_hooks hooks;
  hooks.before = [&work] { return work.before(); };
  hooks.after = [&work](const upgrade_report& report) { return work.after(report); };
  upgraded_catalog made;
  made.report = co_await upgrade_schema(connection, schema_part::catalog, std::move(hooks));
  made.cluster = work.cluster;
  co_return made;
}

}  // namespace migration
