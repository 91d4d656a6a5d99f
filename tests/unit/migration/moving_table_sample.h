// A table under migration for unit tests: shop."Or""ders" (tenant integer, id bigint, note text, big text), primary key (tenant, id).
#pragma once

#include "migration/mover/mover.h"

inline migration::moving_table sample_table() {
  migration::moving_table out;
  out.schema = "shop";
  out.name = "Or\"ders";
  out.columns = {{"tenant", "integer", 23, ""}, {"id", "bigint", 20, ""}, {"note", "text", 25, "default"}, {"big", "text", 25, "default"}};
  out.primary_key = {0, 1};
  out.shard_key = 0;
  return out;
}
