#include "migration/pg/relations.h"

namespace migration {

task<bool> relation_exists(pg::connection& server, std::string quoted) {
  const auto found = co_await server.query("SELECT pg_catalog.to_regclass(" + pg::quote_literal(quoted) + ") IS NOT NULL");
  co_return found.boolean(0, 0);
}

task<bool> has_rows(pg::connection& server, std::string quoted) {
  const bool there = co_await relation_exists(server, quoted);
  if (!there) co_return false;
  const auto found = co_await server.query("SELECT EXISTS (SELECT FROM " + quoted + ")");
  co_return found.boolean(0, 0);
}

}  // namespace migration
