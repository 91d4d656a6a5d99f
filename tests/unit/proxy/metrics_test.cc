#include "proxy/metrics/metrics.h"

#include <map>
#include <regex>
#include <set>
#include <sstream>

#include <doctest/doctest.h>

namespace {

struct exposition {
  std::map<std::string, std::string> type;      // of each family
  std::set<std::string> helped;
  std::map<std::string, double> samples;        // "name{labels}" -> value
  std::vector<std::string> bad_lines;
};

// The text format 0.0.4, as far as pgrotor uses it; a line that does not fit is kept as bad.
exposition parse(const std::string& text) {
  static const std::regex help(R"(# HELP ([a-zA-Z_:][a-zA-Z0-9_:]*) (\S.*))"), type(R"(# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) (counter|gauge|histogram))");
  static const std::regex sample(R"(([a-zA-Z_:][a-zA-Z0-9_:]*(\{[a-z_]+="[^"\\]*"(,[a-z_]+="[^"\\]*")*\})?) (-?[0-9.]+([eE][-+]?[0-9]+)?|\+Inf))");
  exposition out;
  std::istringstream lines(text);
  std::smatch found;
  for (std::string line; std::getline(lines, line);) {
    if (std::regex_match(line, found, help)) {
      out.helped.insert(found[1]);
    } else if (std::regex_match(line, found, type)) {
      out.type[found[1]] = found[2];
    } else if (std::regex_match(line, found, sample)) {
      out.samples[found[1]] = std::stod(found[4]);
    } else {
      out.bad_lines.push_back(line);
    }
  }
  return out;
}

std::string family_of(std::string name) {
  name = name.substr(0, name.find('{'));
  for (const char* suffix : {"_bucket", "_sum", "_count"}) {
    if (name.ends_with(suffix)) return name.substr(0, name.size() - std::string(suffix).size());
  }
  return name;
}

}  // namespace

TEST_CASE("metrics: the text is valid and every sample has HELP and TYPE") {
  const auto read = parse(proxy::scrape({}).text());
  CHECK(read.bad_lines == std::vector<std::string>{});
  CHECK(read.samples.size() > 40);
  for (const auto& [name, value] : read.samples) {
    CAPTURE(name);
    const auto family = read.type.contains(name.substr(0, name.find('{'))) ? name.substr(0, name.find('{')) : family_of(name);
    CHECK(read.type.contains(family));
    CHECK(read.helped.contains(family));
  }
}

TEST_CASE("metrics: names follow the rules: prefix, base units, _total for what only grows") {
  for (const auto& [name, type] : parse(proxy::scrape({}).text()).type) {
    CAPTURE(name);
    CHECK((name.starts_with("pgrotor_") || name.starts_with("process_")));
    CHECK((type == "counter") == name.ends_with("_total"));
    CHECK(name.find("_us") == std::string::npos);
    CHECK(name.find("_ms") == std::string::npos);
  }
}

TEST_CASE("metrics: what is counted comes out in base units") {
  proxy::figures figures;
  figures.of_workers.statements = 12;
  figures.of_workers.clients_now = 3;
  figures.of_workers.pool_wait_us = 1'500'000;
  figures.of_workers.latency[0] = 5;
  figures.of_workers.latency[3] = 2;
  figures.of_workers.latency.back() = 1;
  figures.of_workers.latency_sum_us = 2'500'000;
  figures.of_workers.pins[4] = 3;
  figures.workers = 2;
  figures.generation = 9;
  figures.migrations = {1, 2, 3, 4, 5};
  const auto read = parse(proxy::scrape(figures).text());
  const auto at = [&read](const std::string& name) {
    CAPTURE(name);
    REQUIRE(read.samples.contains(name));
    return read.samples.at(name);
  };
  CHECK(at("pgrotor_statements_total") == 12);
  CHECK(at("pgrotor_clients") == 3);
  CHECK(at("pgrotor_pool_wait_seconds_total") == doctest::Approx(1.5));
  CHECK(at("pgrotor_map_generation") == 9);
  CHECK(at("pgrotor_workers") == 2);
  CHECK(at("pgrotor_migrations{state=\"active\"}") == 1);
  CHECK(at("pgrotor_migrations{state=\"done\"}") == 2);
  CHECK(at("pgrotor_migrations{state=\"failed\"}") == 3);
  CHECK(at("pgrotor_pins_total{reason=\"listen\"}") == 3);
  CHECK(at("pgrotor_pins_total{reason=\"unknown\"}") == 0);
  CHECK(at("pgrotor_cutovers_total") == 4);
  CHECK(at("pgrotor_cutover_retries_total") == 5);
  CHECK(at("pgrotor_statement_seconds_count") == 8);
  CHECK(at("pgrotor_statement_seconds_sum") == doctest::Approx(2.5));
  CHECK(at("pgrotor_statement_seconds_bucket{le=\"0.0001\"}") == 5);
  CHECK(at("pgrotor_statement_seconds_bucket{le=\"0.001\"}") == 7);
  CHECK(at("pgrotor_statement_seconds_bucket{le=\"5\"}") == 7);
  CHECK(at("pgrotor_statement_seconds_bucket{le=\"+Inf\"}") == 8);
}

TEST_CASE("metrics: every counter of counters.h is registered once") {
  // A counter that nobody registered would be counted and never seen: all fields but latency and pins are plain integers.
  constexpr std::size_t integers = (sizeof(proxy::counters) - sizeof(proxy::counters::latency) - sizeof(proxy::counters::pins)) / sizeof(std::uint64_t) - 1;
  CHECK(proxy::counter_fields().size() == integers);
  std::set<std::string_view> names;
  proxy::counters probe;
  for (const auto& field : proxy::counter_fields()) {
    CHECK(names.insert(field.name).second);
    CHECK(probe.*field.member == 0);  // no member twice
    probe.*field.member = 1;
  }
}

TEST_CASE("metrics: figures of the process") {
  const auto one = proxy::read_process();
  CHECK(one.resident_bytes > 100'000);
  CHECK(one.open_fds >= 3);
  CHECK(one.max_fds >= one.open_fds);
  const auto now = static_cast<double>(std::time(nullptr));
  CHECK(one.start_time_seconds > now - 3600);
  CHECK(one.start_time_seconds <= now + 1);
}

TEST_CASE("metrics: shards, pools and moves by name") {
  proxy::figures taken;
  taken.shards = {"s1", "s2"};
  taken.of_pools.down = {"s2"};
  taken.of_pools.add("s1", "app", "shop", {1, 2, 3, 4});
  taken.of_pools.add("s1", "app", "shop", {1, 0, 0, 0});
  taken.moves = {{7, "s1", "s2", "COPYING", 60, 5, 100, 900, 4096, 10, 0.5}};
  const auto read = parse(proxy::scrape(taken).text());
  CHECK(read.bad_lines == std::vector<std::string>{});
  const std::pair<const char*, double> wanted[] = {
      {"pgrotor_shard_up{shard=\"s1\"}", 1},
      {"pgrotor_shard_up{shard=\"s2\"}", 0},
      {"pgrotor_pool_connections{shard=\"s1\",user=\"app\",database=\"shop\",state=\"active\"}", 2},
      {"pgrotor_pool_connections{shard=\"s1\",user=\"app\",database=\"shop\",state=\"opening\"}", 3},
      {"pgrotor_pool_waiting{shard=\"s1\",user=\"app\",database=\"shop\"}", 4},
      {"pgrotor_migration_state{migration=\"7\",source=\"s1\",target=\"s2\",state=\"COPYING\"}", 1},
      {"pgrotor_migration_rows_left{migration=\"7\"}", 900},
      {"pgrotor_migration_lag_seconds{migration=\"7\"}", 0.5},
  };
  for (const auto& [name, value] : wanted) {
    CAPTURE(name);
    REQUIRE(read.samples.contains(name));
    CHECK(read.samples.at(name) == value);
  }
}

TEST_CASE("metrics: however many pools there are, the series stay few") {
  proxy::load many;
  for (int i = 0; i < 2000; ++i) many.add("s1", "user" + std::to_string(i), "shop", {1, 0, 0, 0});
  CHECK(many.pools.size() == proxy::load::most_pools + 1);
  CHECK(many.pools.at({"s1", "", ""}).active == 1500);
}
