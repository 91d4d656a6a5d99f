// What a DBA sees of the recoverer, and what migrations and REMOVE SHARD ask of it. Declared in migration/engine/recoverer.h.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "migration/base/refused.h"
#include "migration/engine/recoverer.h"
#include "protocol/sqlstate.h"

namespace migration {
namespace {

constexpr milliseconds haste_lasts{5'000};
constexpr std::size_t named_at_most = 5;

}  // namespace

std::vector<recoverer::prepared_branch> recoverer::prepared() const {
  std::vector<prepared_branch> out;
  for (const auto& [id, part] : shards_) {
    for (const auto& [gid, branch] : part.prepared) {
      out.push_back({gid, engine_.shard_name(id), engine_.shard_name(branch.gid.decider), branch.owner,
                     part.trouble.empty() ? branch.why : "the shard does not answer: " + part.trouble, branch.age_seconds});
    }
  }
  return out;
}

void recoverer::hasten(routing::shard_id shard) {
  const auto part = shards_.find(shard);
  if (part == shards_.end() || part->second.prepared.empty()) return;
  part->second.hasty_until = clock::now() + haste_lasts;
}

// False: not by the deadline.
task<bool> recoverer::tried_since(routing::shard_id shard, clock::time_point since, clock::time_point deadline) {
  while (!stopping_ && clock::now() < deadline) {
    const auto part = shards_.find(shard);
    if (part != shards_.end() && part->second.tried > since) co_return true;
    co_await changed_.wait(deadline);
  }
  co_return false;
}

std::vector<std::string> recoverer::named_by(routing::shard_id shard, bool its_own) const {
  std::vector<std::string> out;
  for (const auto& [id, part] : shards_) {
    for (const auto& [gid, branch] : part.prepared) {
      if (its_own ? id == shard : branch.gid.decider == shard) out.push_back(fmt::format("{} on shard {}", gid, engine_.shard_name(id)));
    }
  }
  if (out.size() > named_at_most) out.resize(named_at_most, "...");
  return out;
}

task<void> recoverer::refuse_if_needed(routing::shard_id shard) {
  const auto since = clock::now();
  const auto deadline = since + engine_.settings.question_timeout * 3;
  const auto map = engine_.map();
  const auto name = engine_.shard_name(shard);
  constexpr std::string_view hint = "SHOW PREPARED tells what they wait for.";
  kick();
  bool there = false;
  for (const auto& each : map->shards()) {
    const bool tried = co_await tried_since(each.id, since, deadline);
    const auto part = shards_.find(each.id);
    const bool told = tried && part != shards_.end() && part->second.trouble.empty();
    if (each.id == shard) there = told;
    else if (!told) refuse(protocol::sqlstate::wrong_state, fmt::format("cannot tell whether shard \"{}\" decides transactions over several shards", name),
                           fmt::format("Shard {} does not answer.", each.name), "Try again when it does.");
  }
  if (const auto named = named_by(shard, false); !named.empty()) {
    refuse(protocol::sqlstate::wrong_state, fmt::format("shard \"{}\" decides transactions over several shards that are not finished", name),
           fmt::format("Prepared is {}.", fmt::join(named, ", ")), std::string(hint));
  }
  if (!there) co_return;  // whatever it has, nobody waits for it
  if (const auto named = named_by(shard, true); !named.empty()) {
    refuse(protocol::sqlstate::wrong_state, fmt::format("shard \"{}\" has branches of transactions over several shards that are not finished", name),
           fmt::format("Prepared is {}.", fmt::join(named, ", ")), std::string(hint));
  }
  const auto connection = co_await engine_.connect(shard);
  const auto left = co_await connection->query("SELECT count(*) FROM pgrotor.decisions");
  if (left.integer(0, 0) > 0) {
    refuse(protocol::sqlstate::wrong_state, fmt::format("shard \"{}\" has {} verdicts on transactions over several shards", name, left.integer(0, 0)),
           "They are removed when all shards have been asked and no transaction runs there that was open when they were written.", "Try again.");
  }
}

}  // namespace migration
