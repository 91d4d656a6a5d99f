#include "migration/engine/recoverer.h"

#include <algorithm>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <fmt/format.h>

#include "migration/base/log.h"
#include "migration/base/refused.h"
#include "migration/base/test_hooks.h"
#include "protocol/sqlstate.h"

namespace migration {
namespace asio = boost::asio;
namespace {

constexpr milliseconds period{1'000}, hasty{1'000};

constexpr std::string_view not_answered = "the shard that decides has not answered yet";  // at the start, for a moment

// One row at least. The list is as of later than the snapshot of the rest. $1: when this process came here, $2: ms that a commit may take.
constexpr const char* look_at_shard =
    "SELECT pg_snapshot_xmin(s), pg_snapshot_xmin(s) <> $3::xid8 AND EXISTS (SELECT FROM pgrotor.decisions d WHERE d.xid < pg_snapshot_xmin(s)),"
    " coalesce($1::timestamptz, i.entered_at), x.gid, x.owner, extract(epoch FROM clock_timestamp() - x.prepared),"
    " x.prepared < coalesce($1::timestamptz, i.entered_at) OR x.prepared <= clock_timestamp() - $2::bigint * interval '1 ms'"
    " FROM pg_current_snapshot() s, pgrotor.identity i"
    " LEFT JOIN pg_prepared_xacts x ON x.database = current_database() AND x.gid LIKE 'pgrotor\\_%'";

}  // namespace

void recoverer::stop() {
  stopping_ = true;
  kick();
}

void recoverer::kick() {
  ++kicks_;
  kicked_.notify();
}

// Shards come and go; each has a part of its own, so that one that does not answer is in nobody's way.
task<void> recoverer::run() {
  const auto self = shared_from_this();
  const auto parts_run = [this] { return std::ranges::any_of(shards_, [](const auto& each) { return each.second.running; }); };
  while (!stopping_) {
    start_parts();
    co_await kicked_.wait(clock::now() + period);
  }
  while (parts_run()) co_await changed_.wait();
  shards_.clear();
  decisions_.close(nullptr);
}

void recoverer::start_parts() {
  const auto map = engine_.map();
  std::erase_if(shards_, [&](const auto& each) { return !map->find_shard(each.first) && !each.second.running; });
  decisions_.close(map.get());
  for (const auto& shard : map->shards()) {
    auto& part = shards_[shard.id];
    if (std::exchange(part.running, true)) continue;
    asio::co_spawn(engine_.executor, watch(shard.id), [self = shared_from_this(), id = shard.id](std::exception_ptr failed) {
      log_failure("recoverer", failed);
      self->shards_[id].running = false;
      self->changed_.notify();
    });
  }
}

task<void> recoverer::watch(routing::shard_id id) {
  auto& part = shards_[id];
  while (!stopping_ && engine_.map()->find_shard(id)) {
    const auto seen = kicks_;
    const auto began = clock::now();
    std::string trouble;
    try {
      co_await round(id, part);
    } catch (const std::exception& error) {
      trouble = error.what();
    }
    note(id, part, std::move(trouble));
    part.tried = began;
    changed_.notify();
    if (seen == kicks_ && !stopping_) co_await kicked_.wait(clock::now() + period);
  }
  slot_of(id) -= static_cast<std::uint32_t>(part.left_over.size());
  part.left_over.clear();
  waiting_ -= std::exchange(part.waiting, 0);
  part.connection.reset();
}

void recoverer::note(routing::shard_id id, shard_part& part, std::string trouble) {
  if (!trouble.empty() && part.trouble.empty()) log_warning("prepared transactions of shard {} are not looked at: {}", engine_.shard_name(id), trouble);
  if (trouble.empty() && !part.trouble.empty()) log_info("prepared transactions of shard {} are looked at again", engine_.shard_name(id));
  if (!trouble.empty()) part.connection.reset();
  part.trouble = std::move(trouble);
  const auto still = static_cast<std::uint64_t>(std::ranges::count_if(part.prepared, [](const auto& each) { return !each.second.why.empty(); }));
  waiting_ += still - std::exchange(part.waiting, still);
}

task<void> recoverer::round(routing::shard_id id, shard_part& part) {
  if (!part.connection || part.connection->broken()) co_await connect(id, part);
  co_await look(part);
  forget_left_overs(id, part);
  std::vector<std::string> due;
  for (const auto& [gid, branch] : part.prepared) {
    if (branch.due || part.left_over.contains(gid)) due.push_back(gid);
  }
  bool done = false;
  for (const auto& gid : due) {
    if (stopping_) co_return;
    const bool ended = co_await finish(part, gid);
    if (ended) part.prepared.erase(gid);
    done = done || ended;
  }
  forget_left_overs(id, part);
  if (done) kick();  // what only holds locks may go now
  co_await purge(part);
}

task<void> recoverer::connect(routing::shard_id id, shard_part& part) {
  part.connection = co_await engine_.connect(id, engine_.settings.question_timeout);
}

task<void> recoverer::look(shard_part& part) {
  const auto asked = clock::now();
  const auto patience = asked < part.hasty_until ? std::min(hasty, engine_.settings.recover_after) : engine_.settings.recover_after;
  pg::text_params params{std::nullopt, std::to_string(patience.count()), part.bound.empty() ? "0" : part.bound};
  if (!part.entered.empty()) params[0] = part.entered;
  const auto found = co_await part.connection->exec(look_at_shard, std::move(params));
  if (found.rows() == 0) refuse(protocol::sqlstate::wrong_shard, part.connection->where() + ": this database is no shard");
  part.asked = asked;
  part.entered = found.str(0, 2);
  note_prepared(part, found);
  // A bound that is waiting for the other shards' lists stays until they have come.
  const bool early = test_hooks::broken("purge_early");
  if (part.has_old_verdicts || !(found.boolean(0, 1) || early)) co_return;
  part.bound = early ? "18446744073709551615" : found.str(0, 0);
  part.bound_read = clock::now();
  part.has_old_verdicts = true;
}

void recoverer::note_prepared(shard_part& part, const pg::result& found) {
  std::map<std::string, doubt> now;
  for (int row = 0; row < found.rows(); ++row) {
    const auto gid = branch_gid::parse(found.get(row, 3));
    if (!gid) continue;  // also where there is none
    const auto before = part.prepared.find(found.str(row, 3));
    auto& branch = now[found.str(row, 3)];
    if (before != part.prepared.end()) branch = before->second;
    branch.gid = *gid;
    branch.owner = found.str(row, 4);  // none: its role was dropped
    branch.age_seconds = std::stod(found.str(row, 5));
    branch.due = found.boolean(row, 6);
  }
  part.prepared = std::move(now);
}

// Why the shard that decides is not to be asked; "" where it is.
std::string recoverer::why_not_asked(const branch_gid& gid) const {
  const auto part = shards_.find(gid.decider);
  if (!engine_.map()->find_shard(gid.decider)) return fmt::format("shard number {}, which decides, is not in the map", gid.decider.value);
  if (part == shards_.end() || part->second.asked == clock::time_point{}) return std::string(not_answered);
  if (part->second.trouble.empty()) return {};
  return fmt::format("shard {}, which decides, does not answer", engine_.shard_name(gid.decider));  // the log has its words
}

task<bool> recoverer::finish(shard_part& part, const std::string& gid) {
  const auto branch = part.prepared.at(gid);
  auto why = why_not_asked(branch.gid);
  if (why.empty() && branch.owner.empty()) why = "the role that prepared it does not exist any more; end it with psql as a superuser";
  if (!why.empty()) {
    wait_for(part, gid, std::move(why));
    co_return false;
  }
  auto decided = verdict::abort;
  try {
    if (!test_hooks::broken("recover_by_age")) {
      decided = co_await decisions_.settle(branch.gid.uuid, branch.owner, branch.gid.decider, clock::now() + engine_.settings.question_timeout);
    }
  } catch (const std::exception& error) {
    why = error.what();
  }
  auto& known = part.prepared.at(gid);
  if (decided == verdict::commit && known.committed == clock::time_point{}) known.committed = clock::now();
  if (why.empty() && decided == verdict::unknown) why = "it is being decided";
  if (why.empty() && decided == verdict::commit && others_are_prepared(known)) {
    known.why = "it only holds locks: what else its transaction has prepared comes first";
    co_return false;
  }
  if (why.empty()) {
    try {
      co_return co_await carry_out(*part.connection, gid, branch.owner, decided);
    } catch (const pg::sql_error& error) {
      if (error.connection_lost) throw;
      why = error.what();
      if (error.sqlstate == protocol::sqlstate::insufficient_privilege) {
        why += fmt::format("; as a superuser: GRANT {} TO {};", pg::quote_ident(branch.owner), pg::quote_ident(engine_.settings.shard_user));
      }
    }
  }
  wait_for(part, gid, std::move(why));
  co_return false;
}

// All were prepared before it was decided: every list that was asked for since then has those that are left.
bool recoverer::others_are_prepared(const doubt& branch) const {
  if (!branch.gid.locks_only || test_hooks::broken("locks_first")) return false;
  if (!all_asked_since(branch.committed)) return true;
  return std::ranges::any_of(shards_, [&](const auto& each) {
    return std::ranges::any_of(each.second.prepared, [&](const auto& other) {
      return !other.second.gid.locks_only && other.second.gid.uuid == branch.gid.uuid && other.second.owner == branch.owner;
    });
  });
}

bool recoverer::all_asked_since(clock::time_point when) const {
  const auto map = engine_.map();
  return std::ranges::all_of(map->shards(), [&](const auto& shard) {
    const auto part = shards_.find(shard.id);
    return part != shards_.end() && part->second.asked > when;
  });
}

// "Does not exist" is fine: somebody did it. A connection on which the role is not its own any more is of no use.
task<bool> recoverer::carry_out(pg::connection& connection, std::string gid, std::string owner, verdict decided) {
  co_await connection.query("SET ROLE " + pg::quote_ident(owner));
  const std::string end_sql = decided == verdict::commit ? "COMMIT" : "ROLLBACK";
  std::exception_ptr failed;
  bool somebody_did = false;
  try {
    co_await connection.query(end_sql + " PREPARED " + pg::quote_literal(gid));
  } catch (const pg::sql_error& error) {
    if (error.connection_lost) throw;
    somebody_did = error.sqlstate == protocol::sqlstate::undefined_object;
    if (!somebody_did) failed = std::current_exception();
  }
  co_await connection.query("RESET ROLE");
  if (failed) std::rethrow_exception(failed);
  if (!somebody_did) log_info("{}: {} prepared transaction {} of {}", connection.where(), decided == verdict::commit ? "committed" : "rolled back", gid, owner);
  co_return true;
}

void recoverer::wait_for(shard_part& part, const std::string& gid, std::string why) {
  auto& branch = part.prepared.at(gid);
  const bool told = branch.why == why || why == not_answered;
  if (!told) log_warning("{}: prepared transaction {} of {} waits: {}", part.connection->where(), gid, branch.owner, why);
  branch.why = std::move(why);
}

// The row was seen, no transaction that could still write runs; now every shard has been asked after that, and who is prepared somewhere keeps it.
task<void> recoverer::purge(shard_part& part) {
  if (!part.has_old_verdicts || !engine_.lease->runs() || !all_asked_since(part.bound_read)) co_return;
  std::string kept;
  for (const auto& [id, each] : shards_) {
    for (const auto& [gid, branch] : each.prepared) kept += (kept.empty() ? "" : ",") + branch.gid.uuid;
  }
  if (test_hooks::broken("purge_prepared")) kept.clear();
  pg::text_params params{part.bound, "{" + kept + "}"};
  co_await part.connection->exec("DELETE FROM pgrotor.decisions WHERE xid < $1::xid8 AND uuid <> ALL ($2::uuid[])", std::move(params));
  part.has_old_verdicts = false;
  if (!kept.empty()) part.bound.clear();  // what was kept is looked at again, though nothing else may happen there
}

}  // namespace migration
