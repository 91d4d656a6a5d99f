#include "migration/engine/decisions.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "migration/base/refused.h"
#include "migration/base/test_hooks.h"
#include "protocol/sqlstate.h"

namespace migration {
namespace {

constexpr milliseconds wait_for_decider{300}, shortest{10};

milliseconds left(clock::time_point deadline, milliseconds most) {
  return std::clamp(std::chrono::duration_cast<milliseconds>(deadline - clock::now()), shortest, most);
}

// What the statement of a rule reads, or the end of the wait for another's.
constexpr const char* decide_abort =
    "INSERT INTO pgrotor.decisions (uuid, owner, verdict) SELECT $1::uuid, r.oid, 'abort' FROM pg_roles r WHERE r.rolname = $2 ON CONFLICT DO NOTHING";
constexpr const char* read_verdict =
    "SELECT d.verdict FROM pg_roles r LEFT JOIN pgrotor.decisions d ON d.owner = r.oid AND d.uuid = $1::uuid WHERE r.rolname = $2";

}  // namespace

task<decisions::verdict> decisions::settle(std::string uuid, std::string owner, routing::shard_id decider, clock::time_point deadline) {
  auto& shard = shards_[decider];
  const auto turn = co_await shard.turn.lock();
  if (clock::now() >= deadline) co_return verdict::unknown;
  const auto timeout = [&] { return left(deadline, engine_.settings.question_timeout); };
  const auto make = [&] { return connect(decider, timeout()); };
  const auto ask = [&](pg::connection& there) { return question(there, uuid, owner, timeout()); };
  try {
    co_return co_await shard.connection.ask<verdict>(make, ask);
  } catch (const pg::sql_error& error) {
    if (error.sqlstate != "55P03") throw;
  }
  co_return verdict::unknown;
}

task<std::unique_ptr<pg::connection>> decisions::connect(routing::shard_id id, milliseconds timeout) {
  auto made = co_await engine_.connect(id, timeout);
  co_await made->query(fmt::format("SET lock_timeout = {}", wait_for_decider.count()));
  co_return std::move(made);
}

// In this order: once the INSERT is committed, or has found another's row, the answer of a later statement is final.
task<decisions::verdict> decisions::question(pg::connection& connection, std::string uuid, std::string owner, milliseconds timeout) {
  pg::text_params first{uuid, owner}, then{uuid, owner};
  co_await connection.exec(decide_abort, std::move(first), timeout);
  const auto found = co_await connection.exec(read_verdict, std::move(then), timeout);
  if (found.rows() == 0) {
    refuse(protocol::sqlstate::undefined_object, fmt::format("{}: role \"{}\", whose transaction is to be decided, does not exist there", connection.where(), owner),
           "", "A role must have one name on all shards.");
  }
  if (found.is_null(0, 0)) co_return verdict::unknown;
  co_return found.get(0, 0) == "commit" ? verdict::commit : verdict::abort;
}

void decisions::close(const routing::shard_map* but_to) {
  std::erase_if(shards_, [&](const auto& each) { return (!but_to || !but_to->find_shard(each.first)) && !each.second.turn.busy(); });
}

}  // namespace migration
