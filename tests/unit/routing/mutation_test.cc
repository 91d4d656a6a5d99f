// Random damage to valid statements: whatever comes out, analysis and literal forms must not crash, leak or hang. Seeded, so that a
// failure comes again.
#include <doctest/doctest.h>

#include <random>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "routing/analysis/analyzer.h"
#include "routing/route/plan_cache.h"
#include "sample_map.h"

using namespace routing;

namespace {

const std::vector<std::string> seeds = {
    "SELECT total, placed_at FROM orders WHERE customer_id = 5 AND order_id = 7 ORDER BY placed_at DESC LIMIT 10",
    "SELECT l.* FROM orders o JOIN order_lines l ON l.customer_id = o.customer_id WHERE o.customer_id = '5' AND o.total BETWEEN 1 AND 2",
    "UPDATE people SET age = age + 1 WHERE nick = 'bob' OR false; INSERT INTO labels VALUES ('x', 'y'), ('z ', DEFAULT)",
    "SELECT count(*) FROM (SELECT * FROM orders) o WHERE o.customer_id IN (1, -2, '3') AND EXISTS (SELECT 1 FROM clicks WHERE cust = o.customer_id)",
    "SELECT * FROM orders o LEFT JOIN order_lines l USING (customer_id) WHERE o.customer_id = 5 AND l.line IN (1, 2, $1)",
    "WITH w(a, b) AS (SELECT customer_id, count(*) FROM orders WHERE customer_id = $1 GROUP BY 1) SELECT * FROM w NATURAL JOIN orders",
    "INSERT INTO orders (customer_id, order_id) VALUES (5, 'x'), (-6, E'\\n') ON CONFLICT (customer_id) DO UPDATE SET total = excluded.total",
    "UPDATE orders SET (total, placed_at) = (SELECT 1, now()) FROM customers c WHERE c.customer_id = orders.customer_id RETURNING *",
    "MERGE INTO orders t USING (VALUES (1, 2)) s(k, o) ON t.customer_id = s.k WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT VALUES (s.k)",
    "DELETE FROM orders USING LATERAL (SELECT * FROM order_lines) x WHERE (x.customer_id, 1) = (orders.customer_id, $2::int8)",
    "SELECT CASE WHEN a THEN ARRAY[1, (SELECT max(line) FROM order_lines)] ELSE '{}'::int[] END, sum(x) OVER (PARTITION BY y) FROM orders",
    "COPY (SELECT 1 UNION SELECT 2 EXCEPT TABLE orders) TO STDOUT WITH (FORMAT csv); DECLARE c CURSOR WITH HOLD FOR SELECT 1",
    "CREATE TABLE t (a int REFERENCES orders, b text DEFAULT $$x$$); COMMENT ON COLUMN public.orders.total IS 'it''s'; DROP TABLE a, b.orders",
    "WITH RECURSIVE t AS (SELECT 1 UNION ALL SELECT * FROM t) SEARCH DEPTH FIRST BY a SET b SELECT * FROM t, XMLTABLE('/x' PASSING y COLUMNS z int)",
    "BEGIN; SET LOCAL a.b = 'c'; SELECT set_config('a', 'b', true) FOR UPDATE OF o NOWAIT; ROLLBACK AND CHAIN",
    "SELECT * FROM people WHERE nick = U&'\\0041' AND label COLLATE \"C\" = ANY (ARRAY['a', $1]::text[]) /* /* */ */ -- end",
};

const std::vector<std::string> pieces = {"(", ")", ",", "'", "\"", " AND ", " OR ", " NOT ", "orders", "customer_id", " = ", "$1", "::int8", "[", "]",
                                         " SELECT ", " FROM ", " WHERE ", " UNION ", ".", ";", "--", "/*", "$$", "NULL", "*", " JOIN ", " USING ",
                                         " AS ", " ON ", "-", "5", "\xff", " LATERAL ", " WITH ", " VALUES ", " CASE ", " END ", "DEFAULT"};

std::string mutated(std::mt19937& random) {
  const auto below = [&](std::size_t n) { return n == 0 ? 0 : random() % n; };
  std::string sql = seeds[below(seeds.size())];
  for (auto changes = 1 + below(2); changes > 0; --changes) {
    const auto at = below(sql.size() + 1);
    switch (below(5)) {
      case 0: sql.insert(at, pieces[below(pieces.size())]); break;
      case 1: sql.erase(at, below(12)); break;
      case 2: sql.replace(at, below(8), pieces[below(pieces.size())]); break;
      case 3: {
        const auto& other = seeds[below(seeds.size())];
        const auto from = below(other.size());
        sql.insert(at, other.substr(from, below(60)));
        break;
      }
      default: sql.insert(at, sql.substr(below(sql.size() + 1), below(40))); break;
    }
  }
  return sql;
}

using outcome = std::tuple<destination_kind, std::uint32_t, std::set<std::pair<std::uint32_t, std::int64_t>>>;

outcome route_outcome(const statement_plan& plan, const shard_map& map, const parameters& given) {
  const auto d = route(plan, map, given);
  outcome found{d.destination, d.refused ? 0 : d.shard.value, {}};
  for (const auto& t : d.touches) std::get<2>(found).emplace(t.distribution.value, t.value.number());
  return found;
}

}  // namespace

TEST_CASE("mutation: damaged statements do no harm, and a text and its form are routed alike") {
  const auto map = sample::map();
  plan_cache cache(64, 1u << 20);
  parameters literals;
  std::mt19937 random(20'000);
  std::size_t by_key = 0, refused = 0, unparsable = 0;
  for (int i = 0; i < 20'000; ++i) {
    const auto sql = mutated(random);
    CAPTURE(sql);
    const auto plan = analyze_if_parsable(sql, *map);
    const auto cached = cache.simple(*map, sql, literals);
    if (!plan) {
      ++unparsable;
      for (const auto& s : cached->statements) route(s, *map, literals);
      continue;
    }
    REQUIRE(!plan->statements.empty());
    REQUIRE(cached->statements.size() == plan->statements.size());
    for (std::size_t n = 0; n < plan->statements.size(); ++n) {
      const auto& s = plan->statements[n];
      by_key += s.destination == destination_kind::by_key;
      refused += s.destination == destination_kind::refused;
      const bool has_key = s.destination == destination_kind::by_key || s.destination == destination_kind::by_key_at_home;
      if (has_key != !s.keys.empty()) FAIL("keys and destination disagree");
      if ((s.destination == destination_kind::refused) != s.refused.has_value()) FAIL("refusal and destination disagree");
      if (route_outcome(s, *map, {}) != route_outcome(cached->statements[n], *map, literals)) FAIL("text and form disagree: " << sql);
    }
  }
  CHECK(by_key > 500);  // the damage is not so great that nothing is left to prove
  CHECK(refused > 1000);
  CHECK(unparsable > 1000);
}
