// Comparison of moved rows, and the cleaner.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include "migration/shard/cleaner.h"
#include "migration/shard/guard.h"
#include "migration/shard/verify.h"
#include "support.h"

using namespace control;
using namespace migration;

namespace {

// Both shards with equal moving rows; the target has columns in another order.
struct twins {
  session source, target, super_source, super_target;
  std::vector<moving_table> tables;

  void make() {
    fresh_shop();
    super_source = connect("SUPER_A");
    super_target = connect("SUPER_B");
    exec(*super_source, "ALTER TABLE shop.customers ADD born date, ADD seen timestamptz, ADD took interval, ADD ratio double precision, ADD raw bytea, ADD data jsonb;"
                                 "UPDATE shop.customers SET born = '2000-02-03', seen = now(), took = '1 day 02:03', ratio = 1.0/3, raw = '\\x00ff', data = '{\"a\": [1, null]}'");
    exec(*super_target, "DROP TABLE shop.customers CASCADE; SET ROLE shop_owner;"
                                 "CREATE TABLE shop.customers (data jsonb, raw bytea, gone int, balance numeric(10,2) NOT NULL DEFAULT 0, note text, name text NOT NULL,"
                                 " customer_id bigint PRIMARY KEY, ratio double precision, took interval, seen timestamptz, born date);"
                                 "ALTER TABLE shop.customers DROP gone; GRANT ALL ON shop.customers TO app; RESET ROLE");
    source = connect("PGROTOR_A");
    target = connect("PGROTOR_B");
    tables = shop_tables(*source);
    copy("shop.customers", "customer_id, name, balance, note, born, seen, took, ratio, raw, data");
    copy("shop.orders", "customer_id, id, total, placed");
  }
  void copy(std::string table, std::string columns) {
    std::string bytes;
    const std::function<void(std::string_view)> sink = [&](std::string_view piece) { bytes += piece; };
    run(super_source->copy_out(fmt::format("COPY (SELECT {} FROM {} WHERE {}) TO STDOUT", columns, table, in_moving("customer_id")), sink));
    const std::vector<std::string_view> pieces{bytes};
    run(super_target->copy_in(fmt::format("COPY {} ({}) FROM STDIN", table, columns), pieces));
  }
  verify_result compare() {
    run(take_snapshot(*target));
    return run(migration::compare(*source, *target, routing::key_type::int8, moving, tables));
  }
};

}  // namespace

TEST_CASE("verify: equal rows are equal whatever the order of rows and columns, and rows that do not move are not looked at") {
  twins t;
  t.make();
  exec(*t.super_target, "INSERT INTO shop.customers (customer_id, name) VALUES (1, 'somebody else')");
  const auto result = t.compare();
  const auto moving_rows = value(*t.super_source, "SELECT (SELECT count(*) FROM shop.customers WHERE " + in_moving("customer_id") +
                                                               ") + (SELECT count(*) FROM shop.orders WHERE " + in_moving("customer_id") + ")");
  CHECK(std::to_string(result.rows_compared) == moving_rows);
  CHECK(result.rows_differing == 0);
  CHECK(result.examples.empty());
  const auto idle = value(*t.super_target, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pgrotor' AND state LIKE 'idle in%'");
  CHECK(idle == "0");
}

TEST_CASE("verify: an altered, a missing and an extra row are found and named") {
  struct damage {
    std::string sql, example;
  };
  const std::vector<damage> damages{
      {"UPDATE shop.customers SET note = 'x' WHERE customer_id = 2", "shop.customers (2): differs in note"},
      {"UPDATE shop.customers SET note = '' WHERE customer_id = 2", "shop.customers (2): differs in note"},
      {"UPDATE shop.customers SET balance = balance + 0.01, name = name || ' ' WHERE customer_id = 2", "shop.customers (2): differs in name, balance"},
      {"UPDATE shop.customers SET raw = '\\x00fe' WHERE customer_id = 2", "shop.customers (2): differs in raw"},
      {"UPDATE shop.customers SET ratio = ratio + 1e-16 WHERE customer_id = 2", "shop.customers (2): differs in ratio"},
      {"UPDATE shop.customers SET note = overlay(note placing '!' from 6000) WHERE customer_id = 3", "shop.customers (3): differs in note"},
      {"UPDATE shop.orders SET total = total + 1 WHERE customer_id = 2 AND id = (SELECT min(id) FROM shop.orders WHERE customer_id = 2)",
       "shop.orders (2,2): differs in total, with_tax"},
      {"DELETE FROM shop.customers WHERE customer_id = 4", "shop.customers (4): missing on the target"},
      {"INSERT INTO shop.customers (customer_id, name) SELECT k, 'extra' FROM generate_series(1000, 2000) k WHERE " + in_moving("k") + " LIMIT 1",
       "shop.customers (1002): only on the target"},
  };
  for (const auto& [sql, example] : damages) {
    CAPTURE(sql);
    twins t;
    t.make();
    const auto key = value(*t.super_source, "SELECT k FROM generate_series(1000, 2000) k WHERE " + in_moving("k") + " LIMIT 1");
    exec(*t.super_target, sql);
    const auto result = t.compare();
    CHECK(result.rows_differing == 1);
    REQUIRE(result.examples.size() == 1);
    const auto expected = example.find("(1002)") == std::string::npos ? example : "shop.customers (" + key + "): only on the target";
    CHECK(result.examples[0] == expected);
  }
}

TEST_CASE("verify: the snapshot is as old as it was taken, and every difference is counted with ten named") {
  twins t;
  t.make();
  exec(*t.super_target, "UPDATE shop.orders SET total = total + 1");
  run(take_snapshot(*t.target));
  exec(*t.super_target, "DELETE FROM shop.orders");
  const auto result = run(migration::compare(*t.source, *t.target, routing::key_type::int8, moving, t.tables));
  const auto orders = value(*t.super_source, "SELECT count(*) FROM shop.orders WHERE " + in_moving("customer_id"));
  CHECK(std::to_string(result.rows_differing) == orders);
  CHECK(result.examples.size() == 10);
}

TEST_CASE("cleaner: removes exactly the moving rows, in batches that only-local change data capture does not see") {
  fresh_shop();
  const auto super = connect("SUPER_A");
  const auto source = connect("PGROTOR_A");
  const auto tables = shop_tables(*source);
  exec(*super, "CREATE FUNCTION shop.never() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'a user trigger fired'; END $$;"
               "CREATE TRIGGER t AFTER DELETE ON shop.orders FOR EACH ROW EXECUTE FUNCTION shop.never()");
  exec(*super, "SELECT pg_create_logical_replication_slot('cdc', 'test_decoding')");
  const auto all = value(*super, "SELECT (SELECT count(*) FROM shop.customers) + (SELECT count(*) FROM shop.orders)");
  const auto kept_before = value(*super, "SELECT md5(string_agg(c::text, '|' ORDER BY customer_id)) FROM shop.customers c WHERE NOT " + in_moving("customer_id"));
  const auto deleted = run(delete_rows(*source, object_names(7), routing::key_type::int8, moving, tables, 7));
  const auto rest = value(*super, "SELECT (SELECT count(*) FROM shop.customers) + (SELECT count(*) FROM shop.orders)");
  CHECK(std::stoull(all) == std::stoull(rest) + deleted);
  CHECK(deleted > 200);
  const auto orphans = value(*super, "SELECT (SELECT count(*) FROM shop.customers WHERE " + in_moving("customer_id") + ") + (SELECT count(*) FROM shop.orders WHERE " + in_moving("customer_id") + ")");
  CHECK(orphans == "0");
  const auto kept_after = value(*super, "SELECT md5(string_agg(c::text, '|' ORDER BY customer_id)) FROM shop.customers c");
  CHECK(kept_before == kept_after);
  const auto seen = value(*super, "SELECT count(*) FROM pg_logical_slot_peek_changes('cdc', NULL, NULL, 'only-local', '1') WHERE data LIKE 'table shop.%'");
  CHECK(seen == "0");
  const auto without = value(*super, "SELECT count(*) FROM pg_logical_slot_peek_changes('cdc', NULL, NULL) WHERE data LIKE 'table shop.%DELETE%'");
  CHECK(std::stoull(without) == deleted);
  // The session is as it was, and doing it again finds nothing.
  const auto role = value(*source, "SHOW session_replication_role");
  CHECK(role == "origin");
  const auto again = run(delete_rows(*source, object_names(7), routing::key_type::int8, moving, tables));
  CHECK(again == 0);
  const auto user = connect("APP_A");
  exec(*super, "DROP TRIGGER t ON shop.orders; DELETE FROM shop.customers WHERE customer_id = 1");
  const auto local = value(*super, "SELECT count(*) FROM pg_logical_slot_get_changes('cdc', NULL, NULL, 'only-local', '1') WHERE data LIKE 'table shop.%'");
  CHECK(local == "3");
}

TEST_CASE("leftovers: names what a migration could leave, and nothing of a fresh shard and catalog") {
  fresh_shop();
  const auto source = connect("PGROTOR_A");
  auto left = run(leftovers(*source));
  CHECK(left.empty());
  const auto tables = shop_tables(*source);
  const register_value open{1, 0, true};
  run(make_guard(*source, 5, routing::key_type::int8, moving, tables, open));
  exec(*source, "INSERT INTO pgrotor.progress (migration, hold_floor) VALUES (5, '0/0'); BEGIN; SELECT pg_advisory_xact_lock_shared(pgrotor.lock_key(5))");
  const auto other = connect("SUPER_A");
  exec(*other, "BEGIN; CREATE TEMP TABLE x ON COMMIT DROP AS SELECT 1; SELECT 1");
  const auto prepared = connect("APP_A");
  exec(*prepared, "BEGIN; UPDATE shop.customers SET note = 'p' WHERE customer_id = 1; PREPARE TRANSACTION 'pgrotor 5'");
  left = run(leftovers(*source));
  const std::vector<std::string> expected{
      fmt::format("advisory lock of set 5 held by pid {}", source->backend_pid()), "function pgrotor.guard_5()", "prepared transaction pgrotor 5",
      "progress rows of migration 5", "register pgrotor.register_5", "trigger ~~pgrotor_5_del on shop.customers",
      "trigger ~~pgrotor_5_del on shop.orders", "trigger ~~pgrotor_5_ins on shop.customers", "trigger ~~pgrotor_5_ins on shop.orders",
      "trigger ~~pgrotor_5_trunc on shop.customers", "trigger ~~pgrotor_5_trunc on shop.orders", "trigger ~~pgrotor_5_upd on shop.customers",
      "trigger ~~pgrotor_5_upd on shop.orders"};
  CHECK(left == expected);
  exec(*prepared, "ROLLBACK PREPARED 'pgrotor 5'");
  exec(*source, "ROLLBACK");
}
