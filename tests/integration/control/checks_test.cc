// What a DBA reads when a shard or a table is not fit for a move: the full text, with the statement that helps.
#include <cstdlib>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "migration/shard/checks.h"
#include "support.h"

using namespace control;
using namespace migration;

namespace {

struct bad_table {
  std::string where, change;  // A, B or both (AB), and SQL that a superuser runs there
  std::string text;
};

// The refusal of describe_table and check_tables for the shop after a change.
std::string refusal_after(bad_table bad) {
  fresh_shop();
  for (const char side : bad.where) {
    const auto super = connect(std::string("SUPER_") + side);
    exec(*super, "SET search_path = shop; " + bad.change);
  }
  const auto source = connect("PGROTOR_A");
  const auto target = connect("PGROTOR_B");
  const auto check = [&] {
    const auto tables = shop_tables(*source);
    const auto distribution = shop_distribution();
    const auto row = shop_row(7);
    run(check_tables(*source, *target, distribution, row, tables, std::getenv("PG_DUMP")));
  };
  return refusal_of(check);
}

void expect_all(std::vector<bad_table> table) {
  for (const auto& bad : table) {
    CAPTURE(bad.change);
    const auto text = refusal_after(bad);
    CHECK(text == bad.text);
  }
}

// The refusal of a shard whose rights or settings were changed by `spoil`, which `mend` undoes.
std::string shard_refusal(std::string spoil, std::string mend) {
  const auto super = connect("SUPER_A");
  exec(*super, spoil);
  const auto check = [] {
    const auto source = connect("PGROTOR_A");
    run(check_shard(*source));
  };
  auto text = refusal_of(check);
  exec(*super, mend);
  return text;
}

}  // namespace

TEST_CASE("checks: a shop as it should be is taken") {
  const bad_table nothing{"A", "SELECT 1", ""};
  const auto text = refusal_after(nothing);
  CHECK(text == "");
  const auto source = connect("PGROTOR_A");
  run(check_shard(*source));
}

TEST_CASE("checks: primary key and replica identity, with the exact ALTER TABLE") {
  const std::vector<bad_table> table{
      {"A", "ALTER TABLE orders DROP CONSTRAINT orders_pkey",
       "55000: table shop.orders has no primary key\n"
       "DETAIL: Changes during a move are applied by primary key, and it must contain the shard key customer_id.\n"
       "HINT: Run: ALTER TABLE shop.orders ADD PRIMARY KEY (customer_id, id);"},
      {"A", "ALTER TABLE orders DROP CONSTRAINT orders_pkey; CREATE UNIQUE INDEX \"Orders u\" ON orders (id, customer_id)",
       "55000: table shop.orders has no primary key\n"
       "DETAIL: Changes during a move are applied by primary key, and it must contain the shard key customer_id.\n"
       "HINT: Run: ALTER TABLE shop.orders ADD PRIMARY KEY USING INDEX \"Orders u\";"},
      {"A", "ALTER TABLE orders DROP CONSTRAINT orders_pkey, ADD PRIMARY KEY (id)",
       "55000: table shop.orders: the primary key does not contain the shard key customer_id\n"
       "DETAIL: Two shards could hold rows with one primary key, and a change in the stream would not tell where its row belongs.\n"
       "HINT: Run: ALTER TABLE shop.orders DROP CONSTRAINT orders_pkey, ADD PRIMARY KEY (customer_id, id);"},
      {"A", "ALTER TABLE orders REPLICA IDENTITY NOTHING",
       "55000: table shop.orders: its replica identity does not tell which row was changed\n"
       "DETAIL: REPLICA IDENTITY is NOTHING; updates and deletes must carry primary key and shard key.\n"
       "HINT: Run: ALTER TABLE shop.orders REPLICA IDENTITY DEFAULT;"},
      {"A", "CREATE UNIQUE INDEX part ON orders (customer_id, total); ALTER TABLE orders ALTER total SET NOT NULL; ALTER TABLE orders REPLICA IDENTITY USING INDEX part",
       "55000: table shop.orders: its replica identity does not tell which row was changed\n"
       "DETAIL: REPLICA IDENTITY is an index without all of the primary key; updates and deletes must carry primary key and shard key.\n"
       "HINT: Run: ALTER TABLE shop.orders REPLICA IDENTITY DEFAULT;"},
      {"AB", "CREATE UNIQUE INDEX whole ON orders (customer_id, id, placed); ALTER TABLE orders REPLICA IDENTITY USING INDEX whole", ""},
      {"A", "ALTER TABLE orders REPLICA IDENTITY FULL", ""},
  };
  expect_all(table);
}

TEST_CASE("checks: forms of tables that the guard could not hold") {
  const std::vector<bad_table> table{
      {"A", "ALTER TABLE orders SET UNLOGGED",
       "0A000: table shop.orders is UNLOGGED\nDETAIL: Its changes are not in the WAL, so they cannot be followed.\n"
       "HINT: Run: ALTER TABLE shop.orders SET LOGGED;"},
      {"A", "CREATE TABLE more () INHERITS (orders)",
       "0A000: table shop.orders has INHERITS children\nDETAIL: Rows of the children are not guarded.\n"
       "HINT: Make it a partitioned table, or run: ALTER TABLE shop.more NO INHERIT shop.orders;"},
      {"A", "CREATE TABLE parent (placed timestamptz); ALTER TABLE orders INHERIT parent",
       "0A000: table shop.orders has INHERITS parents\nDETAIL: A write through the parent would pass the guard by.\n"
       "HINT: Run: ALTER TABLE shop.orders NO INHERIT shop.parent;"},
      {"A", "DELETE FROM orders; CREATE UNIQUE INDEX orders_total ON orders (total)",
       "0A000: table shop.orders: unique index shop.orders_total does not contain the shard key\n"
       "DETAIL: Shards cannot see each other's rows, so it would not be unique any more; without customer_id only a uuid is.\n"
       "HINT: Make it unique together with \"customer_id\", or drop it: DROP INDEX shop.orders_total;"},
      {"A", "CREATE FUNCTION t() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';"
            "CREATE TRIGGER \"~~zz\" BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION t();"
            "CREATE TRIGGER early BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION t()",
       "0A000: table shop.orders: BEFORE trigger ~~zz fires after the guard\n"
       "DETAIL: Triggers fire in the order of their names; this one could change the shard key when the guard has already looked.\n"
       "HINT: Run: ALTER TRIGGER \"~~zz\" ON shop.orders RENAME TO \"a~~zz\";"},
      {"A", "CREATE RULE away AS ON DELETE TO orders DO INSTEAD NOTHING",
       "0A000: table shop.orders has rewrite rules\nDETAIL: A rule turns a statement into another one that the guard does not see.\n"
       "HINT: Use triggers instead, and run: DROP RULE away ON shop.orders;"},
      {"A", "DELETE FROM orders; ALTER TABLE orders ADD UNIQUE (total)",
       "0A000: table shop.orders: unique index shop.orders_total_key does not contain the shard key\n"
       "DETAIL: Shards cannot see each other's rows, so it would not be unique any more; without customer_id only a uuid is.\n"
       "HINT: Make it unique together with \"customer_id\", or drop it: ALTER TABLE shop.orders DROP CONSTRAINT orders_total_key;"},
      {"A", "ALTER TABLE orders DROP CONSTRAINT orders_customer_id_fkey, ADD FOREIGN KEY (customer_id) REFERENCES customers ON DELETE CASCADE NOT VALID",
       "55000: table shop.orders: foreign key orders_customer_id_fkey is NOT VALID\n"
       "DETAIL: Rows are applied without foreign key checks, so what is not valid here would not be there either.\n"
       "HINT: Run: ALTER TABLE shop.orders VALIDATE CONSTRAINT orders_customer_id_fkey;"},
      {"A", "CREATE TABLE visits (c bigint REFERENCES customers)",
       "0A000: table shop.visits refers to shop.customers, but does not move with it\n"
       "DETAIL: Foreign key visits_c_fkey would point to rows on another shard.\n"
       "HINT: Distribute shop.visits in the same distribution, or run: ALTER TABLE shop.visits DROP CONSTRAINT visits_c_fkey;"},
      {"A", "ALTER TABLE orders DROP CONSTRAINT orders_pkey, DROP with_tax; ALTER TABLE orders DROP customer_id;"
            "ALTER TABLE orders ADD customer_id bigint GENERATED ALWAYS AS (id) STORED; ALTER TABLE orders ADD PRIMARY KEY (customer_id, id)",
       "0A000: table shop.orders: shard key customer_id is a generated column\n"
       "DETAIL: Its value is not known before the row is written, so neither proxy nor guard can place the row.\n"
       "HINT: Distribute by a column that clients write."},
      {"A", "ALTER TABLE orders RENAME customer_id TO c",
       "42704: table shop.orders has no column customer_id\nDETAIL: It is named as the shard key.\nHINT: Look at the columns with \\d shop.orders."},
      {"A", "DROP TABLE orders; CREATE VIEW orders AS SELECT 1 AS customer_id",
       "0A000: shard s1: shop.orders is not a table\n"
       "DETAIL: Only ordinary and partitioned tables can be distributed; views, foreign tables and sequences cannot.\nHINT: "},
      {"A", "DROP TABLE orders",
       "42704: shard s1: table shop.orders does not exist\n"
       "DETAIL: A table is distributed by the definition that the shard with its rows has.\nHINT: Create the table there first."},
  };
  expect_all(table);
}

TEST_CASE("checks: triggers that fire for copied rows, on both sides, and whatever else makes a target unfit") {
  const std::string trigger = "CREATE FUNCTION t() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';"
                              "CREATE TRIGGER early AFTER UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION t();";
  const std::string early = "CREATE TRIGGER early AFTER UPDATE ON shop.orders FOR EACH ROW EXECUTE FUNCTION shop.t()";
  const std::string changes = "\nDETAIL: What statements do to the rows would change with the move: " + early + ".";
  const std::string why = "\nDETAIL: It would fire again for rows that a move copies, applies and deletes: values change, or what it logs is there twice.\n"
                          "HINT: Run: ALTER TABLE shop.orders ENABLE TRIGGER early;";
  const std::vector<bad_table> table{
      {"AB", trigger, ""},
      {"A", trigger, "55000: shard s2: table shop.orders lacks trigger early that it has on shard s1" + changes + "\nHINT: Run: " + early + ";"},
      {"B", trigger, "55000: shard s2: table shop.orders has trigger early that it lacks on shard s1" + changes +
                     "\nHINT: Run: DROP TRIGGER early ON shop.orders; Or on shard s1: " + early + ";"},
      {"AB", trigger + "ALTER TABLE orders DISABLE TRIGGER early", ""},
      {"A", trigger + "ALTER TABLE orders ENABLE ALWAYS TRIGGER early", "0A000: table shop.orders: trigger early is ENABLE ALWAYS" + why},
      {"B", trigger + "ALTER TABLE orders ENABLE ALWAYS TRIGGER early", "0A000: shard s2: table shop.orders: trigger early is ENABLE ALWAYS" + why},
      {"A", trigger + "ALTER TABLE orders ENABLE REPLICA TRIGGER early", "0A000: table shop.orders: trigger early is ENABLE REPLICA" + why},
      {"B", trigger + "ALTER TABLE orders ENABLE REPLICA TRIGGER early", "0A000: shard s2: table shop.orders: trigger early is ENABLE REPLICA" + why},
      {"B", "ALTER TABLE orders SET UNLOGGED",
       "0A000: shard s2: table shop.orders is UNLOGGED\nDETAIL: Its changes are not in the WAL, so they cannot be followed.\n"
       "HINT: Run: ALTER TABLE shop.orders SET LOGGED;"},
      {"B", "CREATE RULE away AS ON DELETE TO orders DO INSTEAD NOTHING",
       "0A000: shard s2: table shop.orders has rewrite rules\nDETAIL: A rule turns a statement into another one that the guard does not see.\n"
       "HINT: Use triggers instead, and run: DROP RULE away ON shop.orders;"},
  };
  expect_all(table);
}

TEST_CASE("checks: rights on tables, with the exact GRANT, and targets that are not alike or not empty") {
  const std::vector<bad_table> table{
      {"A", "ALTER TABLE orders OWNER TO postgres",
       "42501: shard s1: role pgrotor may not act for the owner of table shop.orders\n"
       "DETAIL: Guard and publication of a table need the rights of its owner, postgres.\nHINT: Run: GRANT postgres TO pgrotor;"},
      {"B", "ALTER TABLE orders OWNER TO postgres",
       "42501: shard s2: role pgrotor may not act for the owner of table shop.orders\n"
       "DETAIL: The guard of a table and writing to it need the rights of its owner, postgres.\nHINT: Run: GRANT postgres TO pgrotor;"},
      {"B", "DROP TABLE orders; REVOKE ALL ON SCHEMA shop FROM shop_owner; ALTER SCHEMA shop OWNER TO postgres; GRANT USAGE ON SCHEMA shop TO shop_owner",
       "42501: shard s2: role shop_owner may not create tables in schema shop\n"
       "DETAIL: Table shop.orders is to be made there with the owner that it has on the source.\n"
       "HINT: Run: GRANT CREATE ON SCHEMA \"shop\" TO shop_owner;"},
      {"B", "ALTER TABLE customers ALTER balance TYPE integer, ADD extra text",
       "55000: shard s2: table shop.customers is defined differently than on shard s1\n"
       "DETAIL: balance is numeric(10,2) NOT NULL on the source and integer NOT NULL on the target; extra is missing on the source and text on the"
       " target.\n"
       "HINT: Make the two alike, or drop the table on the target when it is empty: it is then made from the source's definition."},
      {"B", "INSERT INTO customers (customer_id, name) VALUES (1, 'stays'), (2, 'x'), (3, 'y')",
       "55000: shard s2: 2 rows of table shop.customers are in the way, for example customer_id = 2\n"
       "DETAIL: They belong to the placements that are to move there, and would be mixed with the copy. shard s1 owns them until then: what clients see is there.\n"
       "HINT: Compare on both: SELECT * FROM \"shop\".\"customers\" WHERE ((pg_catalog.hashint8extended(\"customer_id\"::pg_catalog.int8,"
       " 8816678312871386365) OPERATOR(pg_catalog.<) '0'::pg_catalog.int8)); When shard s1 has all that is wanted of them, run on shard s2: DELETE FROM"
       " \"shop\".\"customers\" WHERE ((pg_catalog.hashint8extended(\"customer_id\"::pg_catalog.int8, 8816678312871386365) OPERATOR(pg_catalog.<)"
       " '0'::pg_catalog.int8));"},
      {"A", "CREATE TABLE regions (id int PRIMARY KEY); ALTER TABLE customers ADD region int REFERENCES regions",
       "42704: distribution shop: 2 things are in the way\n"
       "DETAIL: shard s2: table shop.regions does not exist: Table shop.customers, which is to move there, refers to it.\n"
       "shard s2: table shop.customers is defined differently than on shard s1: region is integer on the source and missing on the target.\n"
       "HINT: Create it there with its rows and make it a reference table: REFERENCE TABLE shop.regions.\n"
       "Make the two alike, or drop the table on the target when it is empty: it is then made from the source's definition."},
  };
  for (auto bad : table) {
    if (bad.change.find("DROP TABLE orders; REVOKE") != std::string::npos) bad.change = "SET search_path = shop; " + bad.change;
    CAPTURE(bad.change);
    const auto text = refusal_after(bad);
    CHECK(text == bad.text);
  }
}

TEST_CASE("checks: missing rights of the role, each with the exact GRANT") {
  fresh_shop();
  struct right {
    std::string spoil, mend, what, hint;
  };
  const std::string role = connect("SUPER_A")->server_version() >= 150'000 ? "SET ON PARAMETER session_replication_role"
                                                                            : "EXECUTE ON FUNCTION pgrotor_rights.set_replication_role(text)";
  const std::vector<right> rights{
      {"ALTER ROLE pgrotor NOREPLICATION", "ALTER ROLE pgrotor REPLICATION", "replication", "ALTER ROLE pgrotor REPLICATION;"},
      {"REVOKE pgrotor_guard FROM pgrotor", "GRANT pgrotor_guard TO pgrotor", "membership in pgrotor_guard", "GRANT pgrotor_guard TO pgrotor;"},
      {"REVOKE pg_read_all_stats FROM pgrotor", "GRANT pg_read_all_stats TO pgrotor", "statistics of other sessions",
       "GRANT pg_read_all_stats TO pgrotor;"},
      {"REVOKE pg_signal_backend FROM pgrotor", "GRANT pg_signal_backend TO pgrotor", "ending sessions of clients",
       "GRANT pg_signal_backend TO pgrotor;"},
      {"REVOKE CREATE ON DATABASE shop FROM pgrotor", "GRANT CREATE ON DATABASE shop TO pgrotor", "CREATE on the database",
       "GRANT CREATE ON DATABASE shop TO pgrotor;"},
      {"REVOKE " + role + " FROM pgrotor", "GRANT " + role + " TO pgrotor", "session_replication_role", "GRANT " + role + " TO pgrotor;"},
      {"REVOKE EXECUTE ON FUNCTION pg_replication_origin_drop(text), pg_replication_origin_create(text) FROM pgrotor",
       "GRANT EXECUTE ON FUNCTION pg_replication_origin_drop(text), pg_replication_origin_create(text) TO pgrotor", "replication origins",
       "GRANT EXECUTE ON FUNCTION pg_replication_origin_create(text), pg_replication_origin_drop(text) TO pgrotor;"},
  };
  for (const auto& [spoil, mend, what, hint] : rights) {
    CAPTURE(spoil);
    const auto text = shard_refusal(spoil, mend);
    CHECK(text == fmt::format("42501: shard s1: role pgrotor lacks rights\nDETAIL: Missing: {}.\n"
                              "HINT: As superuser run deploy/shard_rights.sql, or:\n{}", what, hint));
  }
}

TEST_CASE("checks: a schema that is missing and limits that are reached") {
  fresh_shop();
  auto text = shard_refusal("ALTER SCHEMA pgrotor RENAME TO elsewhere", "ALTER SCHEMA elsewhere RENAME TO pgrotor");
  CHECK(text == "RT022: shard s1: schema pgrotor of a shard is missing in database shop\nDETAIL: \nHINT: Run `pgrotor init` first.");
  text = shard_refusal("ALTER FUNCTION pgrotor.admit RENAME TO admitted", "ALTER FUNCTION pgrotor.admitted RENAME TO admit");
  CHECK(text == "55000: shard s1: functions of schema pgrotor are missing\nDETAIL: They move registers and put up guards.\nHINT: Run `pgrotor init` first.");
  const auto super = connect("SUPER_A");
  const auto limit = value(*super, "SHOW max_replication_slots");
  text = shard_refusal("SELECT pg_create_physical_replication_slot('s' || i) FROM generate_series(1, " + limit + ") i",
                                "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots");
  CHECK(text == fmt::format("53400: shard s1: no free replication slot\nDETAIL: {0} of {0} are in use.\n"
                            "HINT: Drop what is not needed any more, or run: ALTER SYSTEM SET max_replication_slots = {1}; and restart the server.",
                            limit, std::stoi(limit) * 2 + 10));
}
