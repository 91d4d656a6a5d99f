#include "migration/shard/identity.h"

#include <fmt/format.h>

#include "migration/base/refused.h"

#include "protocol/sqlstate.h"

namespace migration {
namespace {

std::string place_literal(const std::string& place) { return place.empty() ? "NULL" : pg::quote_literal(place); }

std::string arguments(const term_pass& pass, routing::shard_id shard) {
  return fmt::format("({}, {}, {}, {}, {})", pg::quote_literal(pass.cluster.id), place_literal(pass.cluster.place), shard.value, pass.epoch,
                     pg::quote_literal(pass.process));
}

task<void> ask(pg::connection& connection, std::string sql) {
  try {
    co_await connection.query(std::move(sql));
  } catch (const pg::sql_error& error) {
    if (error.sqlstate != protocol::sqlstate::wrong_shard) throw;
    refuse(error.sqlstate, connection.where() + ": " + error.message, error.detail, error.hint);
  }
}

}  // namespace

std::string enter_sql(const term_pass& pass, routing::shard_id shard) { return "SELECT pgrotor.enter" + arguments(pass, shard); }

std::string admit_sql(const term_pass& pass, routing::shard_id shard, bool standby) {
  const auto call = std::string(no_time_limits) + "SELECT pgrotor.admit" + arguments(pass, shard);
  return standby ? call : "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; " + call + "; COMMIT";
}

task<void> claim_shard(pg::connection& connection, const shard_claim& claim) {
  const auto cluster = pg::quote_literal(claim.cluster.id);
  if (!claim.shard) {
    co_await ask(connection, fmt::format("SELECT pgrotor.check_identity(i, {}, i.catalog, i.shard) FROM pgrotor.identity i", cluster));
    co_return;
  }
  std::string numbers;
  for (const auto id : claim.taken) numbers += fmt::format("{}{}", numbers.empty() ? "" : ",", id.value);
  co_await ask(connection, fmt::format("SELECT pgrotor.claim({}, {}, {}, {}, '{{{}}}')", cluster, place_literal(claim.cluster.place),
                                       claim.shard->value, pg::quote_literal(claim.name), numbers));
}

task<void> check_identity(pg::connection& connection, const cluster_mark& cluster, routing::shard_id shard) {
  co_await ask(connection, fmt::format("SELECT pgrotor.check_identity(i, {}, {}, {}) FROM (SELECT) one LEFT JOIN pgrotor.identity i ON true",
                                       pg::quote_literal(cluster.id), place_literal(cluster.place), shard.value));
}

}  // namespace migration
