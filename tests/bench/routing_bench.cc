// What a statement costs in routing: a cache hit with its route, a miss, a placement. Prints nanoseconds, the best of several runs;
// asserts nothing. Not part of `all`: build the target routing_bench, with optimisation.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <vector>

#include "../unit/routing/sample_map.h"
#include "routing/map/placement.h"
#include "routing/route/plan_cache.h"

namespace {

template <class Work>
void measure(std::string_view name, int times, Work work) {
  using clock = std::chrono::steady_clock;
  double best = 1e18;
  for (int round = 0; round < 15; ++round) {
    const auto start = clock::now();
    for (int i = 0; i < times; ++i) work(i);
    best = std::min(best, std::chrono::duration<double, std::nano>(clock::now() - start).count() / times);
  }
  fmt::print("{:<44} {:>10.0f} ns\n", name, best);
}

}  // namespace

int main() {
  using namespace routing;
  const auto map = sample::map();
  plan_cache cache;
  parameters literals;
  std::vector<std::string> texts;
  for (int i = 0; i < 1000; ++i) {
    texts.push_back(fmt::format("SELECT order_id, total, placed_at FROM orders WHERE customer_id = {:06} AND order_id = {:05} LIMIT 1", i, i * 7));
  }
  const std::string prepared = "SELECT order_id, total, placed_at FROM orders WHERE customer_id = $1 AND order_id = $2 LIMIT 1";
  std::size_t sum = 0;
  fmt::print("text of {} bytes\n", texts[0].size());
  measure("simple, cache hit", 100'000, [&](int i) {
    sum += cache.simple(*map, texts[static_cast<std::size_t>(i) % texts.size()], literals)->statements.size();
  });
  measure("simple, cache hit, and route", 100'000, [&](int i) {
    const auto plan = cache.simple(*map, texts[static_cast<std::size_t>(i) % texts.size()], literals);
    sum += route(plan->statements[0], *map, literals).shard.value;
  });
  measure("prepared, cache hit", 100'000, [&](int) { sum += cache.prepared(*map, prepared)->statements.size(); });
  measure("analysis (a miss)", 500, [&](int) { sum += analyze(prepared, *map).statements.size(); });
  measure("placement of an integer", 1'000'000, [&](int i) { sum += static_cast<std::size_t>(placement_of_int(i).number()); });
  measure("placement of a 36 byte text", 1'000'000, [&](int i) {
    sum += static_cast<std::size_t>(placement_of_text(std::string_view(prepared).substr(static_cast<std::size_t>(i % 8), 36)).number());
  });
  return sum == 0 ? 1 : 0;
}
