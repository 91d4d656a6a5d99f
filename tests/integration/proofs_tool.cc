// Reads statements, one a line, and prints what the analysis makes of each under the shop of proofs_test.py: "keys 1,5", "any" or
// "refused". Used by proofs_test.py.
#include <iostream>
#include <string>

#include "routing/analysis/analyzer.h"
#include "routing/map/array_value.h"

namespace {

routing::shard_map::parts shop() {
  using namespace routing;
  constexpr distribution_id shop{1};
  constexpr shard_id only{1};
  shard_map::parts p;
  p.number = p.schema_version = {1};
  p.default_shard = only;
  p.shards = {{only, "s1", ""}};
  p.distributions = {{shop, "shop", key_type::int8, {{{lowest_placement, end_of_placements}, only}}}};
  p.tables = {{"public", "customers", shop, "customer_id", 20, {"customer_id", "region", "score"}},
              {"public", "orders", shop, "customer_id", 23, {"customer_id", "order_id", "total"}},
              {"public", "lines", shop, "customer_id", 20, {"customer_id", "order_id", "line"}},
              {"public", "clicks", shop, "cust", 20, {"click_id", "cust", "hits"}},
              {"public", "countries", std::nullopt, "", 0, {"code", "region"}}};
  return p;
}

std::string describe(const routing::statement_plan& plan) {
  using routing::destination_kind;
  if (plan.destination == destination_kind::refused) return "refused";
  if (plan.destination != destination_kind::by_key) return "any";
  std::string text = "keys ";
  const auto add = [&text](std::string_view key) { text.append(text.back() == ' ' ? "" : ",").append(key); };
  for (const auto& k : plan.keys) {
    const auto& value = std::get<std::string>(k.value);
    if (!k.array) {
      add(value);
      continue;
    }
    routing::array_reader elements(value, 0);
    for (std::optional<std::string_view> element; elements.next(element);) {
      if (element) add(*element);
    }
  }
  return text;
}

}  // namespace

int main() {
  const auto map = routing::shard_map::make(shop());
  for (std::string line; std::getline(std::cin, line);) {
    const auto text = routing::analyze_if_parsable(line, *map);
    std::cout << (text && text->statements.size() == 1 ? describe(text->statements[0]) : "unparsable") << '\n';
  }
  return 0;
}
