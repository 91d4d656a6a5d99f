// The catalog on a real server: terms, maps, compare-and-set, the commit point.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include "migration/catalog/catalog.h"
#include "migration/pg/lock_retry.h"
#include "support.h"

using namespace control;
using namespace migration;

namespace {

pg::connect_options catalog_options() {
  auto options = options_of("PGROTOR_A");
  options.where = "catalog";
  return options;
}

std::unique_ptr<catalog> open_catalog(milliseconds lease = milliseconds(1'000)) {
  return run(catalog::open(executor(), catalog_options(), make_term_owner(lease)));
}

std::unique_ptr<catalog> fresh_catalog() {
  const auto super = connect("SUPER_A");
  exec(*super, "DROP SCHEMA IF EXISTS pgrotor CASCADE");
  const auto maker = connect("PGROTOR_A");
  run(init_catalog(*maker));
  run(init_catalog(*maker));
  return open_catalog();
}

routing::shard_map::parts small_map(std::uint64_t number) {
  routing::shard_map::parts parts;
  parts.number.value = number;
  parts.schema_version.value = 1;
  parts.default_shard.value = 2;
  parts.shards = {{routing::shard_id{1}, "s1", "host=a dbname=shop", routing::shard_state::draining},
                  {routing::shard_id{2}, "s2", "host='x y' dbname=\"q\\uote\"", routing::shard_state::active}};
  routing::distribution shop;
  shop.id.value = 1;
  shop.name = "shöp \"1\"\n\t";
  shop.type = routing::key_type::uuid;
  shop.ranges = {{{routing::lowest_placement, routing::placement{-5}}, routing::shard_id{1}},
                 {{routing::placement{-5}, routing::end_of_placements}, routing::shard_id{2}}};
  parts.distributions = {shop};
  routing::table orders;
  orders.schema = "public";
  orders.name = "orders";
  orders.distribution = routing::distribution_id{1};
  orders.key_column = "customer,{}\"id";
  orders.key_type_oid = 2950;
  orders.columns = {"customer,{}\"id", "b\\", ""};
  routing::table countries;
  countries.schema = "Other";
  countries.name = "countries";
  countries.columns = {"code"};
  parts.tables = {orders, countries};
  parts.dependent_views = {"public.v", "a.b"};
  return parts;
}

bool same(const routing::shard_map& a, const routing::shard_map::parts& b) {
  const auto made = routing::shard_map::make(b);
  const auto text = [](const routing::shard_map& map) {
    std::vector<std::string> lines;
    for (const auto& s : map.shards()) lines.push_back(fmt::format("{} {} {} {}", s.id.value, s.name, s.dsn, to_string(s.state)));
    for (const auto& d : map.distributions()) {
      lines.push_back(fmt::format("{} {} {}", d.id.value, d.name, to_string(d.type)));
      for (const auto& r : d.ranges) lines.push_back(fmt::format("{} {} {}", r.range.lower.number(), r.range.upper.number(), r.owner.value));
    }
    for (const auto& t : map.tables()) lines.push_back(fmt::format("{} {} {} {} {}", t.schema, t.name, t.key_column, t.key_type_oid, fmt::join(t.columns, "|")));
    for (const auto& v : map.all().dependent_views) lines.push_back(v);
    std::sort(lines.begin(), lines.end());
    return fmt::format("{} {} {} {}", map.number().value, map.schema_version().value, map.default_shard().value, fmt::join(lines, "\n"));
  };
  return text(a) == text(*made);
}

migration_row new_row() {
  auto row = shop_row(0);
  row.ranges = {{routing::lowest_placement, routing::placement{-100}}, {routing::placement{50}, routing::end_of_placements}};
  row.options.max_rate = 12345;
  row.options.auto_cutover = false;
  return row;
}

journal_entry entry(std::string step) {
  journal_entry out;
  out.from = "A";
  out.to = "B";
  out.step = std::move(step);
  out.attempt = 2;
  out.elapsed_us = 1234;
  out.note = "a \"note\"\n";
  return out;
}

// "superseded", the type of another error, or "" when it worked.
std::string outcome(std::function<void()> call) {
  try {
    call();
    return "";
  } catch (const superseded&) {
    return "superseded";
  } catch (const std::logic_error&) {
    return "logic_error";
  } catch (const pg::sql_error& error) {
    return error.sqlstate;
  }
}

void walk(catalog& book, migration_row& row, std::initializer_list<state> states) {
  for (const auto next : states) run(book.advance(row, row.state, next, entry("")));
}

task<void> renew_while(pg::connection& super, const bool& alive) {
  while (alive) {
    co_await super.query("UPDATE pgrotor.lease SET until = clock_timestamp() + interval '1 s'");
    co_await migration::sleep_for(milliseconds(50));
  }
}

}  // namespace

TEST_CASE("catalog: one coordinator at a time, and each has a greater epoch") {
  const auto first = fresh_catalog();
  CHECK(first->epoch() == 1);
  const auto super = connect("SUPER_A");
  bool alive = true;
  background renewals(renew_while(*super, alive));
  const auto refusal = refusal_of([] { open_catalog(); });
  CHECK(refusal.starts_with("55000: catalog: another coordinator works on this catalog\nDETAIL: Its term 1 is being renewed: host="));
  CHECK(refusal.ends_with(".\nHINT: Stop that pgrotor first; one coordinator serves a catalog."));
  alive = false;
  renewals.join();
  const auto second = open_catalog(std::chrono::hours(1));
  CHECK(second->epoch() == 2);
  CHECK(outcome([&] { run(first->save_map(small_map(1), "too late")); }) == "08006");  // its sessions are ended
  run(second->end_term());
  const auto third = open_catalog();
  CHECK(third->epoch() == 3);
}

TEST_CASE("catalog: a lease whose process is known to be gone is not waited for, and no other's is taken when the term is taken up again") {
  const auto first = fresh_catalog();
  const auto super = connect("SUPER_A");
  exec(*super, "UPDATE pgrotor.lease SET until = clock_timestamp() + '1 h', holder = regexp_replace(holder, 'start=[0-9]+', 'start=1')");
  const auto owner = make_term_owner(milliseconds(1'000));
  const auto second = run(catalog::open(executor(), catalog_options(), owner));
  CHECK(second->epoch() == 2);
  const auto again = run(catalog::open(executor(), catalog_options(), owner, true));
  CHECK(again->epoch() == 3);
  const auto other = make_term_owner(milliseconds(1'000));
  CHECK(outcome([&] { run(catalog::open(executor(), catalog_options(), other, true)); }) == "superseded");
}

TEST_CASE("catalog: a version that knows no lease is not displaced, nor does it come in beside") {
  const auto first = fresh_catalog();
  run(first->end_term());
  const auto older = connect("PGROTOR_A");
  CHECK(value(*older, "SELECT pg_try_advisory_lock(1885827702, 0)") == "f");
  const auto maker = connect("SUPER_A");
  exec(*maker, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name ~ '^pgrotor catalog '");
  wait_until([&] { return value(*older, "SELECT pg_try_advisory_lock(1885827702, 0)") == "t"; });
  CHECK(refusal_of([] { open_catalog(); }).starts_with("55000: catalog: another coordinator works on this catalog\nDETAIL: It is of an older version."));
}

TEST_CASE("catalog: a copy that was restored elsewhere is refused, until somebody says that it is the catalog") {
  fresh_catalog();
  const auto maker = connect("PGROTOR_A");
  exec(*maker, "UPDATE pgrotor.lease SET until = NULL; UPDATE pgrotor.cluster SET place = '1/2'");
  CHECK(outcome([] { open_catalog(); }) == "RT020");
  CHECK(outcome([&] { run(init_catalog(*maker)); }) == "RT020");
  exec(*maker, "UPDATE pgrotor.lease SET until = NULL; UPDATE pgrotor.cluster SET place = NULL");
  CHECK(outcome([] { open_catalog(); }) == "");
}

TEST_CASE("catalog: a shard's number is given out once, whatever the map holds by then") {
  const auto book = fresh_catalog();
  run(book->save_map(small_map(1), "two shards"));
  CHECK(run(book->next_shard_number()) == 3);
  CHECK(run(book->next_shard_number()) == 4);
  auto smaller = small_map(2);
  smaller.shards.erase(smaller.shards.begin());
  smaller.distributions.front().ranges = {{{routing::lowest_placement, routing::end_of_placements}, routing::shard_id{2}}};
  run(book->save_map(smaller, "one shard"));
  CHECK(run(book->next_shard_number()) == 5);
}

TEST_CASE("catalog: without init the message says what to run") {
  const auto super = connect("SUPER_A");
  exec(*super, "DROP SCHEMA IF EXISTS pgrotor CASCADE");
  const auto open = [] { open_catalog(); };
  const auto refusal = refusal_of(open);
  CHECK(refusal == "RT022: catalog: there is no pgrotor catalog in database shop\nDETAIL: \nHINT: Run `pgrotor init` first.");
}

TEST_CASE("catalog: a map comes back as it was saved, one generation after the other, and the last sixteen are kept") {
  const auto book = fresh_catalog();
  const auto none = run(book->load_map());
  CHECK(none == nullptr);
  run(book->save_map(small_map(1), "first"));
  const auto one = run(book->load_map());
  REQUIRE(one);
  CHECK(same(*one, small_map(1)));
  const auto again = [&] { run(book->save_map(small_map(1), "again")); };
  const auto skip = [&] { run(book->save_map(small_map(3), "skip")); };
  auto result = outcome(again);
  CHECK(result == "superseded");
  result = outcome(skip);
  CHECK(result == "superseded");
  for (std::uint64_t n = 2; n <= 20; ++n) {
    auto parts = small_map(n);
    parts.schema_version.value = n;
    parts.tables.resize(1 + n % 2);
    run(book->save_map(parts, "next"));
    const auto loaded = run(book->load_map());
    CHECK(same(*loaded, parts));
  }
  const auto kept = value(book->connection(), "SELECT count(*) || ' ' || min(generation) FROM pgrotor.maps");
  CHECK(kept == "16 5");
}

TEST_CASE("catalog: a map that was edited by hand is not loaded") {
  const auto book = fresh_catalog();
  run(book->save_map(small_map(1), "first"));
  const std::vector<std::string> edits {"UPDATE pgrotor.ranges SET owner = 2", "UPDATE pgrotor.shards SET dsn = 'host=b' WHERE id = 1", "DELETE FROM pgrotor.dependent_views"};
  for (const auto& edit : edits) {
    exec(book->connection(), "BEGIN; " + edit);
    exec(book->connection(), "COMMIT");
    std::string message;
    try {
      run(book->load_map());
    } catch (const std::runtime_error& error) {
      message = error.what();
    }
    CHECK(message == "catalog: the checksum of map 1 is wrong; rows of schema pgrotor were changed by hand");
  }
}

TEST_CASE("catalog: migrations of one job, their steps and their journal") {
  const auto book = fresh_catalog();
  std::vector<migration_row> wanted{new_row(), new_row()};
  wanted[1].target.value = 3;
  auto made = run(book->insert(wanted));
  REQUIRE(made.size() == 2);
  CHECK(made[0].id == 1);
  CHECK(made[1].id == 2);
  CHECK(made[0].job == made[1].job);
  walk(*book, made[0], {state::preparing, state::copying});
  made[0].attempt = 3;
  made[0].error = "it's \"odd\"";
  made[0].resume_to = state::copying;
  run(book->advance(made[0], state::copying, state::paused, entry("pause")));
  const auto loaded = run(book->load_migrations());
  REQUIRE(loaded.size() == 2);
  CHECK(loaded[0].state == state::paused);
  CHECK(loaded[0].resume_to == state::copying);
  CHECK(loaded[0].attempt == 3);
  CHECK(loaded[0].error == "it's \"odd\"");
  CHECK(loaded[0].ranges == made[0].ranges);
  CHECK(loaded[0].options.max_rate == 12345);
  CHECK_FALSE(loaded[0].options.auto_cutover);
  CHECK(loaded[1].target.value == 3);
  CHECK(loaded[1].state == state::planned);
  std::vector<journal_entry> more{entry("x"), entry("y")};
  run(book->journal(1, more));
  const auto journal = run(book->read_journal(1));
  REQUIRE(journal.size() == 5);
  CHECK(journal[2].second.step == "pause");
  CHECK(journal[4].second.step == "y");
  CHECK(journal[4].second.note == "a \"note\"\n");
  CHECK(journal[4].second.elapsed_us == 1234);
  CHECK(journal[4].first.size() == std::string("2026-01-31T12:00:00.123456Z").size());
}

TEST_CASE("catalog: a job with one row that cannot be is not written at all") {
  const auto book = fresh_catalog();
  std::vector<migration_row> rows{new_row(), new_row()};
  rows[1].target = rows[1].source;
  const auto insert = [&] { run(book->insert(rows)); };
  const auto result = outcome(insert);
  CHECK(result == "23514");
  const auto left = value(book->connection(), "SELECT count(*) FROM pgrotor.migrations");
  CHECK(left == "0");
}

TEST_CASE("catalog: a newer epoch or another state supersedes; a forbidden transition is a logic error") {
  const auto book = fresh_catalog();
  std::vector<migration_row> one{new_row()};
  auto rows = run(book->insert(one));
  auto& row = rows[0];
  const auto jump = [&] { run(book->advance(row, state::planned, state::switched, entry(""))); };
  auto result = outcome(jump);
  CHECK(result == "logic_error");
  const auto other_state = [&] { run(book->advance(row, state::copying, state::catching_up, entry(""))); };
  result = outcome(other_state);
  CHECK(result == "superseded");
  CHECK(row.state == state::planned);
  exec(book->connection(), "UPDATE pgrotor.coordinator SET epoch = epoch + 1");
  const std::vector<ledger_entry> ledger{{routing::shard_id{1}, "slot", "pgrotor_1"}};
  const std::vector<std::function<void()>> steps{
      [&] { run(book->advance(row, state::planned, state::preparing, entry(""))); },
      [&] { run(book->save_map(small_map(1), "late")); },
      [&] { run(book->insert(one)); },
      [&] { run(book->write_ledger(1, ledger)); },
      [&] { run(book->strike_ledger(1, ledger[0])); },
  };
  for (const auto& step : steps) {
    result = outcome(step);
    CHECK(result == "superseded");
  }
  const auto state_now = value(book->connection(), "SELECT state || (SELECT count(*) FROM pgrotor.journal) || (SELECT count(*) FROM pgrotor.maps) FROM pgrotor.migrations");
  CHECK(state_now == "PLANNED00");
}

TEST_CASE("catalog: the commit point is one transaction, rehearsed without a trace") {
  const auto book = fresh_catalog();
  run(book->save_map(small_map(1), "first"));
  std::vector<migration_row> one{new_row()};
  one[0].ranges = {{routing::lowest_placement, routing::placement{-100}}, {routing::placement{-50}, routing::placement{-5}}};
  auto rows = run(book->insert(one));
  auto& row = rows[0];
  walk(*book, row, {state::preparing, state::copying, state::catching_up, state::verifying, state::ready});
  run(book->warm_switch());
  auto next = small_map(2);
  next.distributions[0].ranges[0].owner.value = 2;
  const auto early = [&] { run(book->commit_switch(row, next, entry(""))); };
  auto result = outcome(early);
  CHECK(result == "superseded");
  run(book->advance(row, state::ready, state::cutting_over, entry("")));
  const auto wrong = small_map(3);
  const auto torn = [&] { run(book->commit_switch(row, wrong, entry(""))); };
  result = outcome(torn);
  CHECK(result == "superseded");
  const auto before = value(book->connection(), "SELECT state || (SELECT max(generation) FROM pgrotor.maps) FROM pgrotor.migrations");
  CHECK(before == "CUTTING_OVER1");
  const auto journalled = run(book->read_journal(row.id));
  CHECK(journalled.size() == 6);
  row.pause_us = 4321;
  const auto began = clock::now();
  run(book->commit_switch(row, next, entry("4")));
  const auto took = std::chrono::duration_cast<std::chrono::microseconds>(clock::now() - began).count();
  CHECK(row.state == state::switched);
  const auto after = value(book->connection(), "SELECT state || (SELECT max(generation) FROM pgrotor.maps) || ' ' || pause_us FROM pgrotor.migrations");
  CHECK(after == "SWITCHED2 4321");
  const auto map = run(book->load_map());
  CHECK(same(*map, next));
  MESSAGE("commit_switch took " << took << " us");
}

TEST_CASE("catalog: the commit point gives away only what the source owns in the newest map") {
  const auto book = fresh_catalog();
  auto map = small_map(1);
  map.distributions[0].ranges = {{{routing::lowest_placement, routing::placement{-5}}, routing::shard_id{1}},
                                 {{routing::placement{-5}, routing::placement{5}}, routing::shard_id{2}},
                                 {{routing::placement{5}, routing::end_of_placements}, routing::shard_id{1}}};
  run(book->save_map(map, "first"));
  using ranges = std::vector<routing::placement_range>;
  const std::vector<std::pair<ranges, std::string>> table{
      {{{routing::placement{-5}, routing::placement{5}}}, "RT012"},                                                      // the target's already
      {{{routing::lowest_placement, routing::placement{-5}}, {routing::placement{0}, routing::placement{1}}}, "RT012"},  // one of two
      {{{routing::placement{-6}, routing::placement{-4}}}, "RT012"},                                                     // its end
      {{{routing::placement{-6}, routing::end_of_placements}}, "RT012"},                                                               // a hole
      {{{routing::placement{4}, routing::end_of_placements}}, "RT012"},
      {{{routing::placement{5}, routing::end_of_placements}, {routing::lowest_placement, routing::placement{-5}}}, ""},
  };
  auto next = map;
  next.number.value = 2;
  for (const auto& [moving, wanted] : table) {
    CAPTURE(moving.front().lower.number());
    std::vector<migration_row> one{new_row()};
    one[0].ranges = moving;
    auto rows = run(book->insert(one));
    walk(*book, rows[0], {state::preparing, state::copying, state::catching_up, state::verifying, state::ready, state::cutting_over});
    const auto commit = [&] { run(book->commit_switch(rows[0], next, entry(""))); };
    const auto result = outcome(commit);
    CHECK(result == wanted);
    const auto after = value(book->connection(), fmt::format("SELECT state || (SELECT max(generation) FROM pgrotor.maps) FROM pgrotor.migrations WHERE id = {}", rows[0].id));
    CHECK(after == (wanted.empty() ? "SWITCHED2" : "CUTTING_OVER1"));
  }
}

TEST_CASE("catalog: a job and its map are written together, and found again by number and content") {
  const auto book = fresh_catalog();
  run(book->save_map(small_map(1), "first"));
  const auto job = run(book->next_job());
  auto absent = run(book->has_job(job));
  CHECK_FALSE(absent);
  std::vector<migration_row> one{new_row()};
  one[0].job = job;
  const auto next = small_map(2), skipped = small_map(4);
  const auto torn = [&] { run(book->insert(one, &skipped, "torn")); };
  const auto result = outcome(torn);
  CHECK(result == "superseded");
  absent = run(book->has_job(job));
  CHECK_FALSE(absent);
  const auto made = run(book->insert(one, &next, "drain"));
  CHECK(made[0].job == job);
  const auto there = run(book->has_job(job));
  CHECK(there);
  const auto mapped = run(book->has_map(next));
  CHECK(mapped);
  auto other = small_map(2);
  other.shards[0].name = "s7";
  const auto changed = run(book->has_map(other));
  CHECK_FALSE(changed);
  const auto later = run(book->has_map(small_map(3)));
  CHECK_FALSE(later);
}

TEST_CASE("catalog: the ledger takes an entry once and strikes it once") {
  const auto book = fresh_catalog();
  std::vector<migration_row> one{new_row()};
  run(book->insert(one));
  const std::vector<ledger_entry> entries{{routing::shard_id{1}, "slot", "pgrotor_1"}, {routing::shard_id{2}, "origin", "pgrotor_1"}};
  run(book->write_ledger(1, entries));
  run(book->write_ledger(1, entries));
  auto read = run(book->read_ledger(1));
  CHECK(read.size() == 2);
  run(book->strike_ledger(1, entries[0]));
  run(book->strike_ledger(1, entries[0]));
  read = run(book->read_ledger(1));
  REQUIRE(read.size() == 1);
  CHECK(read[0].kind == "origin");
  CHECK(read[0].shard.value == 2);
}
