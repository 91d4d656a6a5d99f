// The attacks on guard and register that DESIGN 5 lists, by clients that bypass the proxy.
#include <algorithm>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "migration/base/test_hooks.h"
#include "migration/pg/lock_retry.h"
#include "migration/shard/guard.h"
#include "support.h"

using namespace control;
using namespace migration;

namespace {

constexpr std::uint64_t set = 7;
constexpr int other_inside = 3;
constexpr register_value open_value{3, 0, true};

// A shop whose moving set is guarded, with the register open.
struct guarded_shop {
  session source, app;
  std::vector<moving_table> tables;
  std::string print;
  std::uint32_t attempt = 0;

  void make() {
    fresh_shop();
    source = connect("PGROTOR_A");
    app = connect("APP_A");
    tables = shop_tables(*source);
    run(make_guard(*source, set, routing::key_type::int8, moving, tables, open_value));
    print = run(fingerprint(*source, tables));
  }
  task<fence_result> begin_and_fence(marker_token token, milliseconds lock_timeout, milliseconds budget) {
    const auto begun = co_await begin_fence(*source, set, tables, print, lock_timeout, budget);
    if (begun.outcome != fence_outcome::done) co_return begun;
    co_return co_await fence(*source, token, tables, lock_timeout, budget);
  }
  fence_result shut() {
    const marker_token token{set, set, 3, ++attempt};
    return run(begin_and_fence(token, fence_lock_timeout, milliseconds(500)));
  }
  bool reopen() {
    const register_value value{3, attempt, true};
    return run(set_register(*source, set, value));
  }
};

std::string insert_customer(int key) {
  return fmt::format("INSERT INTO shop.customers (customer_id, name) VALUES ({}, 'new') ON CONFLICT (customer_id) DO UPDATE SET note = 'upserted'", key);
}
std::string touch(int key) { return fmt::format("UPDATE shop.customers SET balance = balance + 1 WHERE customer_id = {}", key); }

struct attack {
  const char* name;
  std::string inside, outside;  // the same on moving and on other rows
};

std::vector<attack> attacks() {
  const auto both = [](const char* name, auto make) { return attack{name, make(inside), make(outside)}; };
  return {
      both("INSERT", [](int key) { return fmt::format("INSERT INTO shop.orders (customer_id, total) VALUES ({}, 1)", key); }),
      both("UPDATE", touch),
      both("DELETE", [](int key) { return fmt::format("DELETE FROM shop.orders WHERE customer_id = {}", key); }),
      both("ON CONFLICT", insert_customer),
      both("MERGE", [](int key) {
        return fmt::format("MERGE INTO shop.customers c USING (VALUES ({}::bigint)) v(k) ON c.customer_id = v.k WHEN MATCHED THEN UPDATE SET note = 'merged'", key);
      }),
      both("foreign key cascade", [](int key) { return fmt::format("DELETE FROM shop.customers WHERE customer_id = {}", key + 98); }),
      both("DO block that catches it and goes on", [](int key) {
        return fmt::format("DO $$ BEGIN BEGIN {}; EXCEPTION WHEN division_by_zero THEN NULL; END; END $$", touch(key));
      }),
      both("function", [](int key) { return fmt::format("CREATE FUNCTION pg_temp.w() RETURNS void LANGUAGE sql AS $$ {} $$; SELECT pg_temp.w(); DROP FUNCTION pg_temp.w()", touch(key)); }),
      both("WITH", [](int key) { return fmt::format("WITH w AS ({} RETURNING 1) SELECT count(*) FROM w", touch(key)); }),
      both("writable cursor's row", [](int key) {
        return fmt::format("BEGIN; DECLARE c CURSOR FOR SELECT * FROM shop.customers WHERE customer_id = {}; FETCH c; UPDATE shop.customers SET note = 'c' WHERE CURRENT OF c; COMMIT", key);
      }),
  };
}

task<std::string> outcome_of(pg::connection& client, std::string sql) {
  try {
    co_await client.query(std::move(sql));
    co_return "";
  } catch (const pg::sql_error& error) {
    co_return error.sqlstate;
  }
}

struct writers_seen {
  int committed = 0, refused = 0, refused_in_flight = 0;
};

// Transactions of two writes to moving rows, one after the other, by a client that bypasses the proxy.
task<void> write_until(const bool& stop, writers_seen& seen, int number) {
  const auto client = co_await pg::connection::open(executor(), options_of("APP_A"));
  const auto update = fmt::format("BEGIN; UPDATE shop.customers SET note = 'w{}' WHERE customer_id = {}", number, inside);
  const auto insert = fmt::format("INSERT INTO shop.orders (customer_id, total) VALUES ({}, {})", inside, number);
  while (!stop) {
    const auto first = co_await outcome_of(*client, update);
    std::string second;
    if (first.empty()) second = co_await outcome_of(*client, insert);
    const auto end = co_await outcome_of(*client, "COMMIT");
    seen.refused += first == "RT001";
    seen.refused_in_flight += second == "RT001";
    seen.committed += first.empty() && second.empty() && end.empty();
  }
}

// Sets values in no order; each time the register must not be below what was asked for.
task<void> set_many(std::vector<std::int64_t>& accepted, std::uint32_t number) {
  const auto own = co_await pg::connection::open(executor(), options_of("PGROTOR_A"));
  for (std::uint32_t n = 1; n <= 40; ++n) {
    const register_value wanted{3, 1 + ((n * 37 + number * 11) % 200), n % 2 == 0};
    const bool moved = co_await set_register(*own, set, wanted);
    const auto now = co_await read_register(*own, set);
    CHECK(now.encode() >= wanted.encode());
    if (moved) accepted.push_back(wanted.encode());
  }
}

}  // namespace

TEST_CASE("guard: every way to write is refused while the register is closed, and works on rows that do not move") {
  guarded_shop shop;
  shop.make();
  const auto fenced = shop.shut();
  REQUIRE(fenced.outcome == fence_outcome::done);
  for (const auto& a : attacks()) {
    CAPTURE(a.name);
    if (a.inside.starts_with("MERGE") && shop.app->server_version() < 150'000) continue;
    const auto refused = state_of(*shop.app, a.inside);
    CHECK(refused == "RT001");
    exec(*shop.app, "ROLLBACK");
    const auto taken = state_of(*shop.app, a.outside);
    CHECK(taken == "");
    exec(*shop.app, "ROLLBACK");
  }
}

TEST_CASE("guard: the refusal names set, register and epoch") {
  guarded_shop shop;
  shop.make();
  shop.shut();
  const auto error = error_of(*shop.app, touch(inside));
  CHECK(error.sqlstate == "RT001");
  CHECK(error.message == "this shard does not take writes to these rows of shop.customers");
  CHECK(error.detail == fmt::format("set=7 register={} epoch=3", register_value{3, 1, false}.encode()));
  CHECK(error.hint == "Their placements are moving or have moved. Connect through pgrotor, which knows the owner.");
}

TEST_CASE("guard: a key cannot move in or out, and COPY and TRUNCATE are refused") {
  guarded_shop shop;
  shop.make();
  exec(*shop.app, "DELETE FROM shop.customers WHERE customer_id IN (3, 4)");
  shop.shut();
  const auto out = state_of(*shop.app, "UPDATE shop.customers SET customer_id = 1001 WHERE customer_id = 2");
  CHECK(out == "RT001");
  exec(*shop.app, "DELETE FROM shop.orders WHERE customer_id = 1");
  const auto in = state_of(*shop.app, "UPDATE shop.customers SET customer_id = (SELECT k FROM generate_series(1000, 2000) k WHERE " +
                                                   in_moving("k") + " LIMIT 1) WHERE customer_id = 1");
  CHECK(in == "RT001");
  const auto truncated = state_of(*shop.app, "TRUNCATE shop.orders");
  CHECK(truncated == "RT001");
  std::string copied;
  const std::string row = std::to_string(inside) + "\t1\n";
  const std::string_view pieces[] = {row};
  try {
    run(shop.app->copy_in("COPY shop.orders (customer_id, total) FROM STDIN", pieces));
  } catch (const pg::sql_error& error) {
    copied = error.sqlstate;
  }
  CHECK(copied == "RT001");
}

TEST_CASE("guard: session_replication_role = replica does not pass it by, a later TRUNCATE of a partition neither") {
  guarded_shop shop;
  shop.make();
  const auto super = connect("SUPER_A");
  exec(*super, 
      "SET ROLE shop_owner; CREATE TABLE shop.events (customer_id bigint, n int, PRIMARY KEY (customer_id, n)) PARTITION BY RANGE (n);"
      "CREATE TABLE shop.events_1 PARTITION OF shop.events FOR VALUES FROM (0) TO (10);"
      "CREATE TABLE shop.events_2 PARTITION OF shop.events FOR VALUES FROM (10) TO (20);"
      "INSERT INTO shop.events VALUES (1, 1), (1, 11), (2, 1), (2, 11); RESET ROLE");
  shop.tables.push_back(run(describe_table(*shop.source, "shop", "events", "customer_id")));
  run(make_guard(*shop.source, set, routing::key_type::int8, moving, shop.tables, open_value));
  shop.print = run(fingerprint(*shop.source, shop.tables));
  const auto fenced = shop.shut();
  CHECK(fenced.outcome == fence_outcome::done);
  exec(*super, "SET session_replication_role = replica");
  for (const std::string& sql : {touch(inside), std::string("DELETE FROM shop.events_1 WHERE customer_id = 2"),
                                std::string("UPDATE shop.events SET n = 12 WHERE customer_id = 2 AND n = 1"),
                                std::string("INSERT INTO shop.events_2 VALUES (2, 19)"), std::string("TRUNCATE shop.events_2"),
                                std::string("TRUNCATE shop.events"), std::string("TRUNCATE shop.customers CASCADE")}) {
    CAPTURE(sql);
    const auto refused = state_of(*super, sql);
    CHECK(refused == "RT001");
  }
  const auto other = state_of(*super, "UPDATE shop.events SET n = 12 WHERE customer_id = 1 AND n = 1");
  CHECK(other == "");
  // A partition that comes later has the row guards by itself, but no TRUNCATE guard: the next fence sees that, and none comes under it.
  shop.reopen();
  const auto begun = run(begin_fence(*shop.source, set, shop.tables, shop.print, fence_lock_timeout, milliseconds(5'000)));
  REQUIRE(begun.outcome == fence_outcome::done);
  exec(*super, "CREATE TABLE shop.events_4 (LIKE shop.events INCLUDING ALL)");
  CHECK(state_of(*super, "SET lock_timeout = 100; ALTER TABLE shop.events ATTACH PARTITION shop.events_4 FOR VALUES FROM (30) TO (40)") == "55P03");
  run(abandon_fence(*shop.source));
  exec(*super, "CREATE TABLE shop.events_3 PARTITION OF shop.events FOR VALUES FROM (20) TO (30)");
  const auto later = shop.shut();
  CHECK(later.outcome == fence_outcome::guard_missing);
  CHECK(later.note == "~~pgrotor_7_trunc on shop.events_3");
}

TEST_CASE("guard: an older REPEATABLE READ transaction sees the closed register at once") {
  guarded_shop shop;
  shop.make();
  for (const std::string& level : {std::string("REPEATABLE READ"), std::string("SERIALIZABLE")}) {
    exec(*shop.app, "BEGIN ISOLATION LEVEL " + level + "; SELECT count(*) FROM shop.customers");
    const auto fenced = shop.shut();
    REQUIRE(fenced.outcome == fence_outcome::done);
    const auto refused = state_of(*shop.app, touch(inside));
    CHECK(refused == "RT001");
    exec(*shop.app, "ROLLBACK");
    shop.reopen();
  }
}

TEST_CASE("guard: who writes already goes on while the fence waits, who comes anew is refused") {
  guarded_shop shop;
  shop.make();
  const auto newcomer = connect("APP_A");
  exec(*shop.app, "BEGIN; " + touch(inside));
  const marker_token token{set, set, 3, 1};
  std::optional<fence_result> result;
  background fencing(keep(shop.begin_and_fence(token, milliseconds(10'000), milliseconds(15'000)), result));
  const auto observer = connect("PGROTOR_A");
  const auto fence_waits = [&] {
    const auto waiting = value(*observer, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted");
    return waiting == "1";
  };
  wait_until(fence_waits);
  const auto refused = state_of(*newcomer, touch(other_inside));
  CHECK(refused == "RT001");
  const auto other = state_of(*newcomer, touch(outside));
  CHECK(other == "");
  const auto more = state_of(*shop.app, "UPDATE shop.customers SET note = 'in the middle' WHERE customer_id = 2; SAVEPOINT s; DELETE FROM shop.orders WHERE customer_id = 2; ROLLBACK TO s; COMMIT");
  CHECK(more == "");
  fencing.join();
  CHECK(result->outcome == fence_outcome::done);
  const auto late = state_of(*shop.app, touch(inside));
  CHECK(late == "RT001");
}

TEST_CASE("guard: a lock that went with a savepoint protects nobody") {
  guarded_shop shop;
  shop.make();
  exec(*shop.app, "BEGIN; SAVEPOINT s; " + touch(inside) + "; ROLLBACK TO s");
  const auto fenced = shop.shut();
  CHECK(fenced.outcome == fence_outcome::done);
  const auto refused = state_of(*shop.app, touch(inside));
  CHECK(refused == "RT001");
  exec(*shop.app, "ROLLBACK TO s");
  const auto again = state_of(*shop.app, touch(inside));
  CHECK(again == "RT001");
  exec(*shop.app, "ROLLBACK");
}

TEST_CASE("fence: a transaction in the way is missed and named, prepared ones too; nothing has changed") {
  guarded_shop shop;
  shop.make();
  exec(*shop.app, "BEGIN; " + touch(inside));
  const auto missed = shop.shut();
  CHECK(missed.outcome == fence_outcome::lock_missed);
  CHECK(missed.note == fmt::format("pid {} (app, idle in transaction for 0 s)", shop.app->backend_pid()));
  const auto still = run(read_register(*shop.source, set));
  CHECK(still == open_value);
  exec(*shop.app, "PREPARE TRANSACTION 'order 1'");
  const auto prepared = shop.shut();
  CHECK(prepared.outcome == fence_outcome::lock_missed);
  CHECK(prepared.note == "prepared transaction 'order 1' of app, prepared 0 s ago");
  exec(*shop.app, "COMMIT PREPARED 'order 1'");
  const auto done = shop.shut();
  CHECK(done.outcome == fence_outcome::done);
  const auto closed = run(read_register(*shop.source, set));
  CHECK((closed == register_value{3, 3, false}));
}

TEST_CASE("fence: a guard that is gone, disabled or not ALWAYS stops it, and its connection stays usable") {
  guarded_shop shop;
  shop.make();
  const auto super = connect("SUPER_A");
  const std::vector<std::pair<std::string, std::string>> damages{
      {"DISABLE TRIGGER \"~~pgrotor_7_upd\"", "ENABLE ALWAYS TRIGGER \"~~pgrotor_7_upd\""},
      {"ENABLE TRIGGER \"~~pgrotor_7_upd\"", "ENABLE ALWAYS TRIGGER \"~~pgrotor_7_upd\""},
      {"ENABLE REPLICA TRIGGER \"~~pgrotor_7_upd\"", "ENABLE ALWAYS TRIGGER \"~~pgrotor_7_upd\""},
  };
  for (const auto& [damage, repair] : damages) {
    CAPTURE(damage);
    exec(*super, "ALTER TABLE shop.orders " + damage);
    const auto found = shop.shut();
    CHECK(found.outcome == fence_outcome::guard_missing);
    CHECK(found.note == "~~pgrotor_7_upd on shop.orders");
    exec(*super, "ALTER TABLE shop.orders " + repair);
  }
  exec(*super, "DROP TRIGGER \"~~pgrotor_7_trunc\" ON shop.customers");
  const auto dropped = shop.shut();
  CHECK(dropped.outcome == fence_outcome::guard_missing);
  const auto untouched = run(read_register(*shop.source, set));
  CHECK(untouched == open_value);
  run(make_guard(*shop.source, set, routing::key_type::int8, moving, shop.tables, open_value));
  const auto mended = shop.shut();
  CHECK(mended.outcome == fence_outcome::done);
}

TEST_CASE("fence: definitions that changed stop it; maintenance does not") {
  guarded_shop shop;
  shop.make();
  const auto super = connect("SUPER_A");
  exec(*super, "ANALYZE shop.orders");
  exec(*super, "VACUUM FULL shop.orders");
  exec(*super, "REINDEX TABLE CONCURRENTLY shop.orders");
  exec(*super, "CREATE INDEX CONCURRENTLY orders_total ON shop.orders (total)");
  const auto kept = shop.shut();
  CHECK(kept.outcome == fence_outcome::done);
  const std::vector<std::string> changes{"ALTER TABLE shop.orders ADD COLUMN extra int", "ALTER TABLE shop.orders ALTER total SET DEFAULT 5",
                           "ALTER TABLE shop.orders ALTER total TYPE numeric(12,2)", "ALTER TABLE shop.customers REPLICA IDENTITY FULL",
                           "ALTER TABLE shop.customers ADD CHECK (balance > -1000000)", "CREATE UNIQUE INDEX ON shop.customers (customer_id, name)",
                           "CREATE RULE r AS ON DELETE TO shop.customers DO INSTEAD NOTHING", "ALTER TABLE shop.orders RENAME TO bills"};
  for (const auto& change : changes) {
    CAPTURE(change);
    shop.reopen();
    exec(*super, change.find("TYPE") == std::string::npos ? change : "ALTER TABLE shop.orders DROP with_tax; " + change);
    const auto found = shop.shut();
    CHECK(found.outcome == fence_outcome::ddl_changed);
    const auto value = run(read_register(*shop.source, set));
    CHECK(value.open);
    if (!change.ends_with("bills")) shop.print = run(fingerprint(*shop.source, shop.tables));
  }
}

TEST_CASE("fence: what it has checked stays so until it ends, and no writer waits for it") {
  guarded_shop shop;
  shop.make();
  const auto super = connect("SUPER_A");
  const auto begun = run(begin_fence(*shop.source, set, shop.tables, shop.print, fence_lock_timeout, milliseconds(5'000)));
  REQUIRE(begun.outcome == fence_outcome::done);
  CHECK(state_of(*shop.app, "SET lock_timeout = 100; " + touch(inside)) == "");
  for (const auto* change : {"DROP TRIGGER \"~~pgrotor_7_ins\" ON shop.orders", "ALTER TABLE shop.orders ALTER total SET DEFAULT 5",
                             "CREATE TRIGGER late BEFORE UPDATE ON shop.customers FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()"}) {
    CAPTURE(change);
    CHECK(state_of(*super, "SET lock_timeout = 100; " + std::string(change)) == "55P03");
  }
  run(abandon_fence(*shop.source));
  const auto untouched = run(read_register(*shop.source, set));
  CHECK(untouched == open_value);
  CHECK(state_of(*shop.app, touch(inside)) == "");
}

TEST_CASE("fence: DDL under way is in the way, and a register that holds as much is an error") {
  guarded_shop shop;
  shop.make();
  const auto super = connect("SUPER_A");
  exec(*super, "BEGIN; DROP TRIGGER \"~~pgrotor_7_ins\" ON shop.orders");
  const auto missed = shop.shut();
  CHECK(missed.outcome == fence_outcome::lock_missed);
  CHECK(missed.note == fmt::format("pid {} (pgrotor, idle in transaction for 0 s)", super->backend_pid()));
  exec(*super, "ROLLBACK");
  const auto done = shop.shut();
  CHECK(done.outcome == fence_outcome::done);
  shop.attempt = 0;
  std::string state;
  try {
    shop.shut();
  } catch (const pg::sql_error& error) {
    state = error.sqlstate;
  }
  CHECK(state == "55000");
}

TEST_CASE("fence: the marker is the end of the history, over twenty cutovers under writers that bypass the proxy") {
  guarded_shop shop;
  shop.make();
  const auto super = connect("SUPER_A");
  exec(*super, "SELECT pg_create_logical_replication_slot('history', 'test_decoding')");
  bool stop = false;
  writers_seen seen;
  std::vector<background> writers;
  for (int i = 0; i < 4; ++i) writers.emplace_back(write_until(stop, seen, i));
  int fenced = 0;
  std::vector<std::string> tokens;
  while (fenced < 20) {
    const auto before = seen.committed;
    const auto result = shop.shut();
    if (result.outcome == fence_outcome::done) {
      ++fenced;
      tokens.push_back(marker_token{set, set, 3, shop.attempt}.text());
      pause(milliseconds(5));
      shop.reopen();
    }
    wait_until([&] { return seen.committed > before; });
  }
  stop = true;
  for (auto& writer : writers) writer.join();
  CHECK(seen.refused_in_flight == 0);
  // Decoded: between a marker and the transaction that opened again there is no write. Attempts are numbered, so the order shows.
  const auto history = exec(*super, "SELECT xid, data FROM pg_logical_slot_get_changes('history', NULL, NULL)");
  std::size_t markers = 0;
  for (int row = 0; row < history.rows(); ++row) {
    const auto data = history.get(row, 1);
    if (data.find("prefix: pgrotor") == std::string_view::npos) continue;
    REQUIRE(markers < tokens.size());
    CHECK(data.ends_with("content:" + tokens[markers]));
    ++markers;
  }
  CHECK(markers == 20);
  MESSAGE("committed " << seen.committed << ", newcomers refused " << seen.refused << ", in flight refused " << seen.refused_in_flight);
}

TEST_CASE("register: moves upwards only, also when many set it at once, and by nobody else") {
  guarded_shop shop;
  shop.make();
  const auto below = run(set_register(*shop.source, set, register_value{2, 9, true}));
  CHECK_FALSE(below);
  const auto same = run(set_register(*shop.source, set, open_value));
  CHECK_FALSE(same);
  std::vector<background> setters;
  std::vector<std::int64_t> accepted;
  for (std::uint32_t i = 0; i < 8; ++i) setters.emplace_back(set_many(accepted, i));
  for (auto& setter : setters) setter.join();
  CHECK_FALSE(accepted.empty());
  const auto highest = *std::max_element(accepted.begin(), accepted.end());
  const auto last = run(read_register(*shop.source, set));
  CHECK(last.encode() == highest);
  for (const std::string sql : {"SELECT pgrotor.set_register(7, 99999999999999)", "SELECT setval('pgrotor.register_7', 99999999999999)",
                                "SELECT nextval('pgrotor.register_7')", "ALTER SEQUENCE pgrotor.register_7 RESTART"}) {
    CAPTURE(sql);
    const auto refused = state_of(*shop.app, sql);
    CHECK(refused == "42501");
    const auto owner = state_of(*shop.app, "SET ROLE shop_owner; " + sql);
    CHECK(owner == "42501");
    exec(*shop.app, "RESET ROLE");
  }
}

TEST_CASE("guard: pgrotor's own sessions write while the register is closed") {
  guarded_shop shop;
  shop.make();
  shop.shut();
  const auto applier = state_of(*shop.source, touch(inside));
  CHECK(applier == "");
  const auto pretender = state_of(*shop.app, "SET ROLE shop_owner; " + touch(inside));
  CHECK(pretender == "RT001");
}

TEST_CASE("guard: made while a long transaction writes, it does not queue others behind it for long") {
  guarded_shop shop;
  shop.make();
  run(drop_guard(*shop.source, set));
  const auto other = connect("APP_A");
  exec(*shop.app, "BEGIN; " + touch(inside));
  background making(make_guard(*shop.source, set, routing::key_type::int8, moving, shop.tables, open_value));
  const auto began = clock::now();
  // The server's own clock of lock waits: a slow disk is not what this is about.
  exec(*other, "SET lock_timeout = 100");
  while (clock::now() - began < std::chrono::milliseconds(500)) {
    const auto waited_too_long = state_of(*other, touch(outside));
    REQUIRE(waited_too_long == "");
  }
  CHECK_FALSE(making.done());
  exec(*shop.app, "COMMIT");
  making.join();
  const auto gaps = value(*shop.source, "SELECT pgrotor.guard_gaps(7, '{shop.customers,shop.orders}') IS NULL");
  CHECK(gaps == "t");
}

#ifdef PGROTOR_TEST_HOOKS
TEST_CASE("guard: without the exclusive lock a writer in flight commits after the marker; without the guard anybody does") {
  guarded_shop shop;
  shop.make();
  const auto super = connect("SUPER_A");
  exec(*super, "SELECT pg_create_logical_replication_slot('history', 'test_decoding')");
  const auto in_flight = touch(inside), late = touch(other_inside);
  // What follows the marker in the history.
  const auto after_marker = [&] {
    return value(*super, "WITH h AS (SELECT row_number() OVER () n, data FROM pg_logical_slot_get_changes('history', NULL, NULL)), m AS (SELECT max(n) n"
                         " FROM h WHERE data LIKE 'message:%prefix: pgrotor%') SELECT count(*) FROM h, m WHERE h.n > m.n AND data LIKE 'table shop.%'");
  };
  run(test_hooks::command("break", "no_exclusive_lock"));
  exec(*shop.app, "BEGIN; " + in_flight);
  const auto unlocked = shop.shut();
  CHECK(unlocked.outcome == fence_outcome::done);
  CHECK(state_of(*shop.app, "COMMIT") == "");
  CHECK(after_marker() == "1");
  run(test_hooks::command("mend", "no_exclusive_lock"));
  run(test_hooks::command("break", "no_guard"));
  run(drop_guard(*shop.source, set));
  run(make_guard(*shop.source, set, routing::key_type::int8, moving, shop.tables, open_value));
  const auto unguarded = shop.shut();
  CHECK(unguarded.outcome == fence_outcome::done);
  CHECK(state_of(*shop.app, late) == "");
  CHECK(after_marker() == "1");
  run(test_hooks::command("mend", "no_guard"));
}
#endif
