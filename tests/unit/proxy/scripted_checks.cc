// What must be true of a world whatever has happened in it. Declared in scripted_world.h.
#include <algorithm>

#include <doctest/doctest.h>

#include "migration/plan/branch_gid.h"
#include "scripted_pools.h"
#include "scripted_recovery.h"

namespace scripted {

namespace {

// Of what the client has heard for a turn, as backend_text() writes it.
struct outcome {
  bool done = false;      // the tag of a success, and ReadyForQuery
  std::string sqlstate;   // of the first error
  bool warned = false;    // committed, and not to be seen everywhere yet
  explicit outcome(std::string text) {
    const auto over = text.find("Z[");
    const bool ready = over != std::string::npos;
    if (ready) text.resize(over);
    const auto error = text.find("E[");
    if (error != std::string::npos) sqlstate = text.substr(text.find(']', error) - 5, 5);
    warned = text.find("N[01000]") != std::string::npos;
    done = ready && sqlstate.empty() && text.find("C[ROLLBACK]") == std::string::npos;
  }
  bool undone(std::string_view text) const { return (!sqlstate.empty() && sqlstate != "08007") || text.find("C[ROLLBACK]") != std::string_view::npos; }
};

}  // namespace

// Under a name whose transaction has been decided.
bool world::is_prepared(std::string_view word) const {
  for (const auto& one : shards_)
    for (const auto& [name, work] : one->prepared) {
      const auto gid = migration::branch_gid::parse(name);
      const bool decided = gid && std::ranges::any_of(shards_, [&](const auto& by) { return by->has_committed("decided " + gid->uuid); });
      if (decided && std::ranges::any_of(work, [word](const auto& text) { return text.find(word) != std::string::npos; })) return true;
    }
  return false;
}

bool world::came_true(std::string_view word) const {
  return is_prepared(word) || std::ranges::any_of(shards_, [word](const auto& one) { return one->has_committed(word); });
}

int world::said(std::string_view word) const {
  int times = is_prepared(word) ? 1 : 0;
  for (const auto& one : shards_)
    times += static_cast<int>(std::ranges::count_if(one->committed, [word](const auto& text) { return text.find(word) != std::string::npos; }));
  return times;
}

void world::check_turn(std::size_t number) const {
  const auto& one = client_->turns()[number];
  auto text = client_->heard(number);
  auto first = number;  // of a pipeline that was said in several turns
  while (first > 0 && client_->turns()[first - 1].until.find('Z') == std::string::npos) text.insert(0, client_->heard(--first) + " ");
  CAPTURE(number);
  CAPTURE(text);
  CHECK(text.find("half a message") == std::string::npos);
  const bool begun = std::ranges::none_of(shards_, [](const auto& where) { return std::ranges::any_of(where->connections, &shard_connection::refused_begin); });
  const bool in_block = begun && first > 0 && !client_->heard(first - 1).ends_with("Z[I]");
  if (!one.may_commit || (in_block && !one.ends_block)) CHECK(text.find("08007") == std::string::npos);
  const bool ends = one.ends_block || text.find("C[ROLLBACK]") != std::string::npos;
  CHECK_MESSAGE((!text.ends_with("Z[I]") || ends || first == 0 || !client_->heard(first - 1).ends_with("Z[T]")), "the transaction went away");
  if (one.commits.empty()) return;
  const outcome told(text);
  const auto true_ones = static_cast<std::size_t>(std::ranges::count_if(one.commits, [this](const auto& word) { return came_true(word); }));
  CHECK_MESSAGE((true_ones == 0 || !begun || true_ones == one.commits.size()), "a half of it was committed");
  if (told.done) CHECK_MESSAGE(true_ones == one.commits.size(), "the client was told of a commit");
  if (told.undone(text)) CHECK_MESSAGE(true_ones == 0, "the client was told that it failed");
  for (const auto& word : one.commits) CHECK_MESSAGE((!told.done || told.warned || !is_prepared(word)), "prepared, and nobody was warned");
}

// Nobody else would finish it.
void world::check_prepared() const {
  if (!recovery_) return;
  for (std::size_t i = 0; i < shards_.size(); ++i)
    for (const auto& [gid, work] : shards_[i]->prepared)
      CHECK_MESSAGE((!migration::branch_gid::parse(gid) || recovery_->has(routing::shard_id{static_cast<std::uint32_t>(i + 1)}, gid)), shards_[i]->name, " has it prepared, and nobody was told: ", gid);
}

void world::check_pools() const {
  std::size_t total = 0, open = 0;
  for (const auto& side : sides_) total += side->ledger.lent();
  for (const auto& [key, each] : pools_) {
    const auto& servers = each->servers;
    CHECK(servers.active() + servers.opening() + servers.waiting() == 0);
    CHECK(servers.idle() == servers.total());
    open += servers.idle();
  }
  CHECK(total == open);
  CHECK(counted.servers_now == open);
  CHECK(awaiting_cancel_.empty());
  std::size_t connected = 0;
  for (const auto& one : shards_) {
    for (const auto& each : one->connections) {
      each->notice_end();
      if (each->gone()) continue;
      ++connected;
      CHECK(each->unfit() == "");
    }
  }
  CHECK(connected == open);
}

void world::check() const {
  CHECK(ended_ == 1);
  CHECK(session_.expired());
  CHECK(counted.sessions_failed == 0);
  CHECK(counted.pinned_now == 0);
  CHECK(gathered == 0);
  CHECK(held.size() == 0);
  CHECK(static_cast<bool>(shared.barrier->enter_commit(false)));
  CHECK(static_cast<bool>(shared.barrier->enter_statement()));
  for (std::uint64_t set = 1; set < 4; ++set) CHECK(gate.open_transactions(set) == 0);
  check_pools();
  check_prepared();
  for (std::size_t i = 0; made_.checks_turns && i < client_->turns().size(); ++i) check_turn(i);
}

}  // namespace scripted
