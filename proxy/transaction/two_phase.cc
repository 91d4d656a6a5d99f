#include "proxy/transaction/two_phase.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "proxy/config/errors.h"

namespace proxy {

namespace {

constexpr std::string_view ask_sql = "SELECT pg_catalog.pg_current_xact_id_if_assigned() IS NOT NULL";
constexpr std::string_view fix_sql = "SELECT pg_catalog.pg_current_xact_id()";
// Never weaker than what the client has asked for.
constexpr std::string_view durable_sql =
    "SELECT pg_catalog.set_config('synchronous_commit', CASE pg_catalog.current_setting('synchronous_commit') "
    "WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, true)";

// Somebody else, who asked the deciding shard too, has finished it.
bool is_gone(const two_phase::reply& reply) noexcept {
  return reply.is == two_phase::reply::what::error && reply.why.sqlstate == "42704";
}

}  // namespace

two_phase::two_phase(std::vector<participant> participants, std::string uuid)
    : participants_(std::move(participants)), states_(participants_.size(), branch_state::open), messages_(participants_.size()), uuid_(std::move(uuid)) {
  begin(state::ask);
}

std::string_view two_phase::step() const noexcept {
  constexpr std::string_view names[] = {"ask",  "fix_xid",      "prepare", "decide", "doubt",     "undo",    "finish",
                                        "finish_locks", "readers", "last",    "committed", "aborted", "unknown"};
  return names[static_cast<std::size_t>(step_)];
}

std::string two_phase::gid(std::size_t i) const {
  const migration::branch_gid name{uuid_, participants_[decider_].shard, static_cast<std::uint32_t>(i + 1), only_locks(i)};
  return name.text();
}

void two_phase::begin(state next) {
  step_ = next;
  for (auto& message : messages_) message.clear();
  for (std::size_t i = 0; i < participants_.size(); ++i) {
    const bool deciding = i == decider_;
    switch (next) {
      case state::ask:
        if (participants_[i].has.wrote || participants_[i].has.locked) messages_[i] = ask_sql;
        break;
      case state::fix_xid:
        if (deciding) messages_[i] = fix_sql;
        break;
      case state::readers:
        if (states_[i] == branch_state::reader) messages_[i] = "COMMIT";
        break;
      case state::last:
        if (states_[i] == branch_state::open) messages_[i] = "COMMIT";
        break;
      case state::prepare:
        if (states_[i] == branch_state::reader) messages_[i] = "COMMIT";
        else if (!deciding) messages_[i] = fmt::format("SELECT pgrotor.may_be_finished(); PREPARE TRANSACTION '{}'", gid(i));
        break;
      case state::decide:
        if (deciding) messages_[i] = fmt::format("{}; SELECT pgrotor.decide('{}'); COMMIT", durable_sql, uuid_);
        break;
      case state::undo:
        if (states_[i] == branch_state::prepared) messages_[i] = fmt::format("ROLLBACK PREPARED '{}'", gid(i));
        else if (states_[i] == branch_state::open || states_[i] == branch_state::reader) messages_[i] = "ROLLBACK";
        break;
      case state::finish:
      case state::finish_locks:
        if (states_[i] == branch_state::prepared && only_locks(i) == (next == state::finish_locks)) messages_[i] = fmt::format("COMMIT PREPARED '{}'", gid(i));
        break;
      default: break;
    }
  }
}

void two_phase::take(std::span<const reply> replies) {
  switch (step_) {
    case state::ask: return asked(replies);
    case state::fix_xid: return replies[decider_].is == reply::what::done ? begin(state::prepare) : fail(replies, decider_);
    case state::readers: return read(replies);
    case state::last:
    case state::decide: return decided(replies);
    case state::prepare: return prepared(replies);
    case state::undo: return undone(replies);
    case state::finish: return finished(replies, false);
    case state::finish_locks: return finished(replies, true);
    default: return;
  }
}

void two_phase::asked(std::span<const reply> replies) {
  std::size_t writers = 0, lockers = 0, deciders = 0;
  bool has_id = false;
  for (std::size_t i = 0; i < participants_.size(); ++i) {
    auto& p = participants_[i].has;
    if (replies[i].is == reply::what::error || replies[i].is == reply::what::lost) return fail(replies, i);
    const bool id = replies[i].text == "t";
    p.wrote = p.must_decide || (p.wrote && replies[i].text != "f");  // who does not deny it may have written
    if (!p.wrote && !p.locked) states_[i] = branch_state::reader;
    if (!p.wrote) {
      lockers += p.locked ? 1 : 0;
      continue;
    }
    deciders += p.must_decide ? 1 : 0;
    if (writers++ == 0 || p.must_decide || (p.had_better && !participants_[decider_].has.must_decide)) {
      decider_ = i;
      has_id = id;
    }
  }
  if (deciders > 1)
    return refuse(make_error(sqlstate::feature_not_supported, "a transaction cannot use temporary objects, NOTIFY, held cursors or exported snapshots on two shards",
                                                    "Such a part cannot be prepared for a commit on several shards; one of them can.", "Use them in transactions of their own."));
  if (writers == 0) {  // what only holds locks guards nothing that was written here
    for (auto& s : states_) s = branch_state::reader;
    return begin(state::readers);
  }
  if (writers + lockers == 1) return begin(state::readers);
  begin(has_id ? state::prepare : state::fix_xid);
}

// Who is not there any more, or has ended with its error, is not sent anything.
void two_phase::mark_ended(std::span<const reply> replies) {
  for (std::size_t i = 0; i < replies.size(); ++i) {
    const bool failed = replies[i].is == reply::what::error && replies[i].over;
    if ((replies[i].is == reply::what::lost || failed) && states_[i] == branch_state::open) states_[i] = branch_state::ended;
  }
}

void two_phase::fail(std::span<const reply> replies, std::size_t first) {
  mark_ended(replies);
  failed_on_ = participants_[first].shard;
  refuse(replies[first].why);
}

void two_phase::refuse(protocol::notice why) {
  why_ = std::move(why);
  begin(state::undo);
}

// Who only read has nothing to lose; a failure there is still one of the whole.
void two_phase::read(std::span<const reply> replies) {
  std::optional<std::size_t> failed;
  bool writer_left = false;
  for (std::size_t i = 0; i < replies.size(); ++i) {
    if (states_[i] == branch_state::open) writer_left = true;
    if (states_[i] != branch_state::reader) continue;
    states_[i] = branch_state::ended;
    if (replies[i].is != reply::what::done && !failed) failed = i;
  }
  if (failed) return fail(replies, *failed);
  begin(writer_left ? state::last : state::committed);
}

void two_phase::prepared(std::span<const reply> replies) {
  std::optional<std::size_t> failed;
  for (std::size_t i = 0; i < replies.size(); ++i) {
    if (messages_[i].empty()) continue;
    const bool reader = states_[i] == branch_state::reader, done = replies[i].is == reply::what::done;
    if (!done && !failed) failed = i;
    if (reader) states_[i] = branch_state::ended;
    else if (done) states_[i] = branch_state::prepared, owner_ = replies[i].text;  // what may_be_finished() has said
    else if (replies[i].is == reply::what::lost && !replies[i].unsent) states_[i] = branch_state::maybe_prepared;
  }
  if (failed) return fail(replies, *failed);
  begin(state::decide);
}

// The commit point has passed, or has not, or nobody knows.
void two_phase::decided(std::span<const reply> replies) {
  const bool alone = step_ == state::last;
  const auto& answer = replies[decider_];
  if (answer.is == reply::what::done) {
    states_[decider_] = branch_state::ended;
    return begin(alone ? state::committed : state::finish);
  }
  if (answer.is == reply::what::error || answer.unsent) return fail(replies, decider_);
  states_[decider_] = branch_state::ended;
  why_ = commit_unknown(answer.why);
  begin(alone ? state::unknown : state::doubt);
}

void two_phase::take(verdict decision) {
  told_ = decision;
  switch (decision) {
    case verdict::commit: return begin(state::finish);
    case verdict::abort: return begin(state::undo);
    case verdict::unknown: return begin(state::unknown);
  }
}

// A row that says abort may be younger than a purged one that said commit: only what was rolled back here proves it.
void two_phase::undone(std::span<const reply> replies) {
  bool proven = !told_;
  for (std::size_t i = 0; i < replies.size(); ++i) {
    if (states_[i] != branch_state::prepared) {
      if (states_[i] != branch_state::maybe_prepared) states_[i] = branch_state::ended;
      continue;
    }
    if (replies[i].is == reply::what::done) proven = true;
    if (replies[i].is == reply::what::done || is_gone(replies[i])) states_[i] = branch_state::ended;
  }
  if (told_ && proven) why_.sqlstate = sqlstate::connection_failure, why_.hint = "The transaction did not take effect; retry it.";
  begin(proven ? state::aborted : state::unknown);
}

void two_phase::finished(std::span<const reply> replies, bool locks) {
  bool all = true;
  for (std::size_t i = 0; i < replies.size(); ++i) {
    if (messages_[i].empty()) continue;
    if (replies[i].is == reply::what::done || is_gone(replies[i])) states_[i] = branch_state::ended;
    else all = false;
  }
  // Locks are let go when the work that they guard is to be seen everywhere.
  begin(all && !locks ? state::finish_locks : state::committed);
  const bool nothing = std::all_of(messages_.begin(), messages_.end(), [](const auto& m) { return m.empty(); });
  if (step_ == state::finish_locks && nothing) begin(state::committed);
}

two_phase::outcome two_phase::result() const noexcept {
  switch (step_) {
    case state::committed: return outcome::committed;
    case state::aborted: return outcome::aborted;
    case state::unknown: return outcome::unknown;
    default: return outcome::pending;
  }
}

std::vector<two_phase::left> two_phase::left_over() const {
  std::vector<left> all;
  for (std::size_t i = 0; i < states_.size(); ++i)
    if (states_[i] == branch_state::prepared || states_[i] == branch_state::maybe_prepared) all.push_back({participants_[i].shard, gid(i)});
  return all;
}

}  // namespace proxy
