#include "routing/route/plan_cache.h"

#include <doctest/doctest.h>

#include <cstdlib>
#include <new>
#include <string>

#include "plan_text.h"
#include "sample_map.h"

using namespace routing;

namespace {
thread_local std::size_t allocations = 0;
}

void* operator new(std::size_t size) {
  ++allocations;
  if (void* p = std::malloc(size ? size : 1)) return p;
  throw std::bad_alloc();
}
void operator delete(void* p) noexcept { std::free(p); }
void operator delete(void* p, std::size_t) noexcept { std::free(p); }

TEST_CASE("plan_cache: texts that differ in literals share one plan") {
  const auto map = sample::map();
  plan_cache cache;
  parameters literals;
  const auto first = cache.simple(*map, "SELECT * FROM orders WHERE customer_id = 5 AND total > 7", literals);
  CHECK(sample::describe(*first) == "key shop:$1 plain");
  REQUIRE(literals.size() == 2);
  CHECK(*literals[0].value == "5");
  CHECK(cache.simple(*map, "SELECT * FROM orders  WHERE customer_id = 60 AND total > 8 -- x", literals) == first);
  CHECK(*literals[0].value == "60");
  CHECK(cache.entries() == 1);
  CHECK(cache.hits() == 1);
  CHECK(cache.misses() == 1);
}

TEST_CASE("plan_cache: a hit allocates nothing") {
  const auto map = sample::map();
  plan_cache cache;
  parameters literals;
  const std::string texts[] = {"SELECT name, country, 'it''s' FROM customers WHERE customer_id = 4711 AND country = 'de' LIMIT 10 OFFSET 1",
                               "SELECT name, country, 'it''s' FROM customers WHERE customer_id = 815 AND country = 'fr' LIMIT 20 OFFSET 2"};
  for (int i = 0; i < 4; ++i) cache.simple(*map, texts[i % 2], literals);
  cache.prepared(*map, texts[0]);
  const auto before = allocations;
  for (int i = 0; i < 100; ++i) {
    const auto plan = cache.simple(*map, texts[i % 2], literals);
    const auto d = route(plan->statements[0], *map, literals);
    if (d.destination != destination_kind::by_key) FAIL("not routed");
    cache.prepared(*map, texts[0]);
  }
  const auto after = allocations;
  CHECK(after == before);
}

TEST_CASE("plan_cache: forms that do not parse are cached whole, with their literals inside") {
  const auto map = sample::map();
  plan_cache cache;
  parameters literals;
  const std::string_view text = "SELECT x::char(3) FROM orders WHERE customer_id = 5";
  const auto plan = cache.simple(*map, text, literals);
  CHECK(sample::describe(*plan) == "key shop:5 plain");
  CHECK(literals.empty());
  CHECK(cache.simple(*map, text, literals) == plan);
  CHECK(sample::describe(*cache.simple(*map, "SELECT x::char(3) FROM orders WHERE customer_id = 6", literals)) == "key shop:6 plain");
  CHECK(cache.entries() == 3);
}

TEST_CASE("plan_cache: a literal that names a setting reaches the session, a refused form refuses its texts") {
  const auto map = sample::map();
  plan_cache cache;
  parameters literals;
  CHECK(sample::describe(*cache.simple(*map, "SELECT set_config('a.b', 'c', false)", literals)) == "any +settings($1) reading");
  CHECK(literals.front().value == "a.b");
  CHECK(sample::describe(*cache.simple(*map, "SELECT * FROM orders", literals)) == "RT003");
}

TEST_CASE("plan_cache: values of SET that mislead are seen whatever came before them") {
  const auto map = sample::map();
  plan_cache cache;
  parameters literals;
  const auto said = [&](std::string_view sql) { return sample::describe(*cache.simple(*map, sql, literals)); };
  CHECK(said("SET client_encoding = 'LATIN1'") == "any +settings(client_encoding) reading");
  CHECK(said("SET client_encoding = 'SJIS'") == "0A000");
  CHECK(said("SET search_path TO 'public', 'mine'") == "any +settings(search_path)");
  CHECK(said("SET search_path TO 'public', 'pg_catalog'") == "0A000");
  CHECK(said("SET work_mem = '1MB'") == "any +settings(work_mem)");
}

TEST_CASE("plan_cache: literal types reach the router") {
  const auto map = sample::map();
  plan_cache cache;
  parameters literals;
  const auto routed = [&](std::string_view sql) {
    const auto plan = cache.simple(*map, sql, literals);
    return route(plan->statements[0], *map, literals);
  };
  CHECK(routed("SELECT * FROM people WHERE nick = 'x'").destination == destination_kind::by_key);
  CHECK(routed("SELECT * FROM people WHERE nick = 5").destination == destination_kind::refused);
  CHECK(routed("SELECT query_to_xml('SELECT * FROM orders', true, true, '')").refused->message.find("orders") != std::string::npos);
  CHECK(routed("SELECT query_to_xml('SELECT * FROM settings', true, true, '')").destination == destination_kind::default_shard);
  CHECK(routed("SELECT * FROM orders WHERE customer_id = -5").touches[0].value == routed("SELECT * FROM orders WHERE customer_id = '-5'").touches[0].value);
  CHECK(routed("INSERT INTO labels (label) VALUES ('a ')").destination == destination_kind::refused);
}

TEST_CASE("plan_cache: prepared texts keep their own parameters") {
  const auto map = sample::map();
  plan_cache cache;
  CHECK(sample::describe(*cache.prepared(*map, "SELECT * FROM orders WHERE customer_id = $1 AND total = 5")) == "key shop:$1 plain");
  parameters literals;
  CHECK(sample::describe(*cache.simple(*map, "SELECT * FROM orders WHERE customer_id = $2 AND total = 5", literals)) == "key shop:$2 plain");
  CHECK(literals.empty());
}

TEST_CASE("plan_cache: a new schema version empties it, a new generation alone does not") {
  auto parts = sample::parts();
  plan_cache cache;
  parameters literals;
  const std::string_view text = "SELECT * FROM orders WHERE customer_id = 5";
  cache.simple(*shard_map::make(parts), text, literals);
  ++parts.number.value;
  cache.simple(*shard_map::make(parts), text, literals);
  CHECK(cache.hits() == 1);
  ++parts.schema_version.value;
  std::erase_if(parts.tables, [](const auto& t) { return t.name == "orders"; });
  CHECK(sample::describe(*cache.simple(*shard_map::make(parts), text, literals)) == "default plain");
  CHECK(cache.entries() == 1);
}

TEST_CASE("plan_cache: bounded by entries and bytes, the least recently used goes first") {
  const auto map = sample::map();
  SUBCASE("entries") {
    plan_cache cache(3);
    for (const auto* sql : {"SELECT a", "SELECT b", "SELECT c"}) cache.prepared(*map, sql);
    cache.prepared(*map, "SELECT a");
    cache.prepared(*map, "SELECT d");
    CHECK(cache.entries() == 3);
    const auto misses = cache.misses();
    cache.prepared(*map, "SELECT a");
    CHECK(cache.misses() == misses);
    cache.prepared(*map, "SELECT b");
    CHECK(cache.misses() == misses + 1);
  }
  SUBCASE("bytes") {
    plan_cache cache(1000, 40'000);
    for (int i = 0; i < 100; ++i) cache.prepared(*map, "SELECT x" + std::to_string(i) + std::string(1000, ' '));
    CHECK(cache.entries() > 5);
    CHECK(cache.entries() < 20);
    cache.prepared(*map, "SELECT " + std::string(20'000, ' ') + "y");
    CHECK(cache.entries() > 5);
  }
}

TEST_CASE("plan_cache: moves with what it holds") {
  const auto map = sample::map();
  plan_cache first;
  first.prepared(*map, "SELECT 1");
  plan_cache second(std::move(first));
  second.prepared(*map, "SELECT 1");
  CHECK(second.hits() == 1);
}
