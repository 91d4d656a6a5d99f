// PREPARE, interrupted after each of its steps, and what is left when its objects are dropped again.
#include <cstdlib>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "migration/base/test_hooks.h"
#include "migration/catalog/catalog.h"
#include "migration/pg/lock_retry.h"
#include "migration/shard/cleaner.h"
#include "migration/shard/guard.h"
#include "support.h"

using namespace control;
using namespace migration;

namespace {

const std::string pg_dump = std::getenv("PG_DUMP");

// Both shards, with the catalog on the target as the demo has it.
struct stage {
  std::unique_ptr<catalog> book;
  session source, target;
  std::vector<moving_table> tables;
  migration_row row = shop_row(0);
  const routing::distribution distribution = shop_distribution();

  void make() {
    fresh_shop();
    target = connect("PGROTOR_B");
    run(init_catalog(*target));
    book = run(catalog::open(executor(), options_of("PGROTOR_B"), make_term_owner(milliseconds(1'000))));
    source = connect("PGROTOR_A");
    tables = shop_tables(*source);
    std::vector<migration_row> one{row};
    auto made = run(book->insert(one));
    row = made[0];
  }
  void again() {  // after their backends were ended
    source = connect("PGROTOR_A");
    target = connect("PGROTOR_B");
  }
  void prepare() {
    run(preparing());
  }
  task<void> preparing() { return migration::prepare(*book, *source, *target, distribution, row, tables, pg_dump); }
  task<void> dropping() {
    row.state = state::cancelling;
    co_await drop_objects(*book, *source, row.source, row);
    co_await drop_objects(*book, *target, row.target, row);
  }
  void drop() { run(dropping()); }
  std::string left() {
    std::string out;
    const auto here = run(leftovers(*source));
    const auto there = run(leftovers(*target));
    for (const auto& line : here) out += "source: " + line + "\n";
    for (const auto& line : there) out += "target: " + line + "\n";
    const auto ledger = run(book->read_ledger(row.id));
    for (const auto& entry : ledger) out += "ledger: " + entry.kind + " " + entry.name + "\n";
    return out;
  }
};

const std::string everything =
    "source: function pgrotor.guard_1()\nsource: origin pgrotor_clean_1\nsource: publication pgrotor_1\nsource: register pgrotor.register_1\n"
    "source: slot pgrotor_1\nsource: trigger ~~pgrotor_1_del on shop.customers\nsource: trigger ~~pgrotor_1_del on shop.orders\n"
    "source: trigger ~~pgrotor_1_ins on shop.customers\nsource: trigger ~~pgrotor_1_ins on shop.orders\n"
    "source: trigger ~~pgrotor_1_trunc on shop.customers\nsource: trigger ~~pgrotor_1_trunc on shop.orders\n"
    "source: trigger ~~pgrotor_1_upd on shop.customers\nsource: trigger ~~pgrotor_1_upd on shop.orders\n"
    "target: function pgrotor.guard_1()\ntarget: origin pgrotor_1\ntarget: origin pgrotor_clean_1\ntarget: register pgrotor.register_1\n"
    "target: trigger ~~pgrotor_1_del on shop.customers\ntarget: trigger ~~pgrotor_1_del on shop.orders\n"
    "target: trigger ~~pgrotor_1_ins on shop.customers\ntarget: trigger ~~pgrotor_1_ins on shop.orders\n"
    "target: trigger ~~pgrotor_1_trunc on shop.customers\ntarget: trigger ~~pgrotor_1_trunc on shop.orders\n"
    "target: trigger ~~pgrotor_1_upd on shop.customers\ntarget: trigger ~~pgrotor_1_upd on shop.orders\n";

std::string objects_of(const std::string& text) { return text.substr(0, text.find("ledger:")); }

}  // namespace

TEST_CASE("prepare: makes everything, twice the same, and drop_objects leaves nothing") {
  stage s;
  s.make();
  s.prepare();
  auto left = s.left();
  CHECK(objects_of(left) == everything);
  auto here = run(read_register(*s.source, 1));
  auto there = run(read_register(*s.target, 1));
  CHECK((here == register_value{1, 0, true}) == (s.row.epoch == 1));
  CHECK(here.open);
  CHECK_FALSE(there.open);
  const auto client = connect("APP_B");
  const auto refused = state_of(*client, "INSERT INTO shop.customers (customer_id, name) VALUES (2, 'early')");
  CHECK(refused == "RT001");
  const auto recorded = run(recorded_fingerprint(*s.source, 1));
  const auto now = run(fingerprint(*s.source, s.tables));
  CHECK(recorded == now);
  ++s.row.epoch;
  s.prepare();
  left = s.left();
  CHECK(objects_of(left) == everything);
  here = run(read_register(*s.source, 1));
  there = run(read_register(*s.target, 1));
  CHECK((here == register_value{s.row.epoch, 0, true}));
  CHECK((there == register_value{s.row.epoch, 0, false}));
  s.drop();
  left = s.left();
  CHECK(left == "");
  s.drop();
}

TEST_CASE("prepare: makes tables that the target has not got, with owner, indexes, sequences and grants; drops them when cancelled") {
  stage s;
  s.make();
  const auto super = connect("SUPER_B");
  exec(*super, "DROP SCHEMA shop CASCADE; CREATE SCHEMA shop AUTHORIZATION shop_owner");
  // Another move from the same source stands guard already: its triggers are not part of the definition.
  run(make_guard(*s.source, 99, routing::key_type::int8, moving, s.tables, register_value{1, 0, true}));
  s.prepare();
  const auto shape =
      "SELECT string_agg(t, E'\\n' ORDER BY t) FROM (SELECT format('%s %s %s', c.oid::regclass, c.relowner::regrole, c.relacl) t FROM pg_class c"
      " WHERE c.relnamespace = 'shop'::regnamespace UNION ALL SELECT pg_get_indexdef(indexrelid) FROM pg_index JOIN pg_class i ON i.oid = indrelid"
      " WHERE i.relnamespace = 'shop'::regnamespace UNION ALL SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace ="
      " 'shop'::regnamespace UNION ALL SELECT format('%s %s %s %s %s', attname, format_type(atttypid, atttypmod), attnotnull, attidentity,"
      " attgenerated) FROM pg_attribute JOIN pg_class a ON a.oid = attrelid WHERE a.relnamespace = 'shop'::regnamespace AND attnum > 0) s";
  const auto here = value(*s.source, shape);
  const auto there = value(*s.target, shape);
  CHECK(here == there);
  CHECK(here.find("orders_placed") != std::string::npos);
  const auto path = value(*s.target, "SHOW search_path");
  CHECK(path == "pg_catalog, pg_temp");
  run(drop_guard(*s.source, 99));
  s.drop();
  const auto gone = value(*s.target, "SELECT count(*) FROM pg_class WHERE relnamespace = 'shop'::regnamespace");
  CHECK(gone == "0");
  const auto left = s.left();
  CHECK(left == "");
}

TEST_CASE("prepare: tables that it made stay when somebody wrote to them") {
  stage s;
  s.make();
  const auto super = connect("SUPER_B");
  exec(*super, "DROP SCHEMA shop CASCADE; CREATE SCHEMA shop AUTHORIZATION shop_owner");
  s.prepare();
  const auto insert = "INSERT INTO shop.customers (customer_id, name) VALUES (1, 'not moving')";
  const auto refused = state_of(*super, insert);
  CHECK(refused == "RT001");  // a table that was just made takes nothing from anybody
  exec(*super, "ALTER TABLE shop.customers DISABLE TRIGGER \"~~pgrotor_owner\"");
  exec(*super, insert);
  s.drop();
  const auto kept = value(*s.target, "SELECT name FROM shop.customers");
  CHECK(kept == "not moving");
  const auto left = s.left();
  CHECK(left == "");
}

TEST_CASE("prepare: a definition that needs what the target has not got is refused and leaves no half of it") {
  stage s;
  s.make();
  const auto super = connect("SUPER_A");
  exec(*super, "SET search_path = shop; CREATE TYPE shop.mood AS ENUM ('good'); ALTER TABLE shop.orders ADD mood shop.mood; ALTER TYPE shop.mood OWNER TO shop_owner");
  s.tables = shop_tables(*s.source);
  const auto target = connect("SUPER_B");
  exec(*target, "DROP SCHEMA shop CASCADE; CREATE SCHEMA shop AUTHORIZATION shop_owner");
  const auto preparing = [&] { s.prepare(); };
  const auto refusal = refusal_of(preparing);
  CHECK(refusal.starts_with("55000: shard s2: cannot create the tables: type \"shop.mood\" does not exist"));
  const auto none = value(*s.target, "SELECT count(*) FROM pg_class WHERE relnamespace = 'shop'::regnamespace");
  CHECK(none == "0");
  const auto without_program = [&] {
    run(migration::prepare(*s.book, *s.source, *s.target, s.distribution, s.row, s.tables, "/nowhere/pg_dump"));
  };
  const auto missing = refusal_of(without_program);
  CHECK(missing == "55000: cannot run /nowhere/pg_dump: No such file or directory\nDETAIL: It makes the tables that the target has not got."
                   "\nHINT: Install PostgreSQL's client programs, or create the tables yourself.");
  s.drop();
  const auto left = s.left();
  CHECK(left == "");
}

TEST_CASE("prepare: a slot of a dying session is waited for before it is dropped") {
  stage s;
  s.make();
  s.prepare();
  auto options = options_of("PGROTOR_A");
  options.replication = true;
  auto mover = run(pg::connection::open(executor(), options));
  run(mover->start_replication("START_REPLICATION SLOT pgrotor_1 LOGICAL 0/0 (proto_version '2', publication_names 'pgrotor_1')"));
  background dropping(s.dropping());
  pause(milliseconds(300));
  CHECK_FALSE(dropping.done());
  mover.reset();
  dropping.join();
  const auto left = s.left();
  CHECK(left == "");
}

TEST_CASE("prepare: waits for old transactions, and its slot sees what commits after it") {
  stage s;
  s.make();
  const auto client = connect("APP_A");
  // Writes elsewhere: the guard does not wait for it, the slot does.
  exec(*client, "BEGIN; CREATE TEMP TABLE t (a int)");
  background preparing(s.preparing());
  const auto observer = connect("PGROTOR_A");
  const auto slot_waits = [&] {
    const auto waiting = value(*observer, "SELECT count(*) FROM pg_locks WHERE locktype = 'transactionid' AND NOT granted");
    return waiting != "0";
  };
  wait_until(slot_waits);
  CHECK_FALSE(preparing.done());
  exec(*client, "COMMIT");
  preparing.join();
  s.drop();
}

#ifdef PGROTOR_TEST_HOOKS
TEST_CASE("prepare: interrupted after each step it can be run again, and dropped with nothing left") {
  const std::vector<std::string> points{"prepare.ledger", "prepare.tables", "prepare.guards", "prepare.origins", "prepare.publication", "prepare.slot"};
  for (const auto& point : points) {
    for (const bool run_again : {true, false}) {
      CAPTURE(point);
      CAPTURE(run_again);
      stage s;
      s.make();
      const auto super_b = connect("SUPER_B");
      exec(*super_b, "DROP SCHEMA shop CASCADE; CREATE SCHEMA shop AUTHORIZATION shop_owner; GRANT USAGE ON SCHEMA shop TO app");
      run(test_hooks::command("stop", point));
      background preparing(s.preparing());
      run(test_hooks::command("wait", point));
      const auto super_a = connect("SUPER_A");
      exec(*super_a, fmt::format("SELECT pg_terminate_backend({}, 5000)", s.source->backend_pid()));
      exec(*super_b, fmt::format("SELECT pg_terminate_backend({}, 5000)", s.target->backend_pid()));
      run(test_hooks::command("release", point));
      CHECK_THROWS_AS(preparing.join(), pg::sql_error);
      s.again();
      if (run_again) {
        s.prepare();
        const auto made = s.left();
        CHECK(objects_of(made) == everything);
      }
      s.drop();
      const auto left = s.left();
      CHECK(left == "");
      s.book.reset();
    }
  }
}
#endif
