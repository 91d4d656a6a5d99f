// The map that the tests of this folder share: a shop distributed by customer, one text, one bpchar, one varchar and one uuid
// distribution, a reference table, a view over sharded tables, and what else touches or belongs to them without being named.
#pragma once

#include <memory>

#include "routing/map/shard_map.h"

namespace sample {

inline constexpr routing::distribution_id shop{1}, names{2}, codes{3}, tenants{4}, other{5};
inline constexpr routing::shard_id s1{1}, s2{2}, s3{3};

inline routing::shard_map::parts parts() {
  using namespace routing;
  const placement third{-3074457345618258603}, two_thirds{3074457345618258602};
  const std::vector<owned_range> ranges{{{lowest_placement, third}, s1}, {{third, two_thirds}, s2}, {{two_thirds, end_of_placements}, s3}};
  shard_map::parts p;
  p.number = {7};
  p.schema_version = {3};
  p.default_shard = s2;
  p.shards = {{s1, "s1", "dbname=a"}, {s2, "s2", "dbname=b"}, {s3, "s3", "dbname=c"}};
  p.distributions = {{shop, "shop", key_type::int8, ranges},
                     {names, "names", key_type::text, ranges},
                     {codes, "codes", key_type::bpchar, ranges},
                     {tenants, "tenants", key_type::uuid, ranges},
                     {other, "other", key_type::int8, ranges}};
  p.tables = {{"public", "customers", shop, "customer_id", 20, {"customer_id", "name", "country"}},
              {"public", "orders", shop, "customer_id", 23, {"customer_id", "order_id", "total", "placed_at"}},
              {"public", "order_lines", shop, "customer_id", 20, {"customer_id", "order_id", "line", "quantity"}},
              {"public", "clicks", shop, "cust", 20, {"click_id", "cust", "url"}},
              {"public", "people", names, "nick", 25, {"nick", "age"}},
              {"public", "labels", names, "label", 1043, {"label", "note"}},
              {"public", "parts", codes, "code", 1042, {"code", "price"}},
              {"crm", "accounts", tenants, "tenant", 2950, {"tenant", "balance"}},
              {"crm", "visits", other, "customer_id", 20, {"customer_id", "at"}},
              {"crm", "twins", shop, "customer_id", 20, {"customer_id"}},
              {"public", "twins", shop, "customer_id", 20, {"customer_id"}},
              {"public", "bare", shop, "customer_id", 20, {}},
              {"public", "countries", std::nullopt, "", 0, {"code", "name"}}};
  p.dependent_views = {"public.order_totals"};
  using by = hidden_access::by;
  p.hidden = {{by::call, "public", "count_orders", true, "table \"public.orders\""},
              {by::call, "crm", "both_ways", false, "a table that is not sharded"},
              {by::call, "public", "both_ways", true, "table \"public.orders\""},
              {by::call, "public", "write_log", false, "a table that is not sharded"},
              {by::write, "public", "audited", true, "table \"public.orders\""},
              {by::part, "public", "orders_total_idx", true, "table \"public.orders\""},
              {by::part, "public", "orders_order_id_seq", true, "table \"public.orders\""},
              {by::part, "types", "order_state", true, "table \"public.orders\""},
              {by::part, "public", "touch", true, "table \"public.orders\""}};
  return p;
}

inline std::shared_ptr<const routing::shard_map> map() { return routing::shard_map::make(parts()); }

}  // namespace sample
