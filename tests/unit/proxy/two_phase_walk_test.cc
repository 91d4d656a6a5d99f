// Every sequence of answers that shards can give to the end of a transaction, over a small model of what then is on them: who is prepared,
// committed or rolled back, whose connection is lost before or behind the effect, what the recoverer did meanwhile.
#include <doctest/doctest.h>

#include <algorithm>
#include <optional>

#include "migration/plan/branch_gid.h"
#include "two_phase_letters.h"

using namespace two_phase_letters;
using outcome = two_phase::outcome;
using verdict = two_phase::verdict;

namespace {

enum class at : char { open, failed, prepared, committed, aborted };

struct shard {
  char letter = 'w';
  at state = at::open;
  bool id = false, connected = true;
  std::string gid;  // under which it was prepared
  bool wrote() const { return id || letter == 'd'; }
  bool may_lose() const { return wrote() || only_locks(); }
  bool only_locks() const { return letter == 'l' || letter == 'B'; }
};

struct happening {
  char answer;
  at then;
};

// All that can come of a message, but that it cannot be sent any more.
std::vector<happening> all_of(char message, const shard& there) {
  const std::vector<happening> none = {{'.', there.state}};
  switch (message) {
    case '.': return none;
    case 'a': return {{there.id ? 't' : 'f', there.state}, {'e', at::failed}, {'o', at::aborted}, {'x', at::aborted}};
    case 'x': return {{'d', there.state}, {'e', at::failed}, {'o', at::aborted}, {'x', at::aborted}};
    case 'C': return {{'d', at::committed}, {'o', at::aborted}, {'x', at::aborted}, {'x', at::committed}};
    case 'P': return {{'d', at::prepared}, {'e', at::failed}, {'o', at::aborted}, {'x', at::aborted}, {'x', at::prepared}};
    case 'D': return {{'d', at::committed}, {'e', at::failed}, {'o', at::aborted}, {'x', at::aborted}, {'x', at::committed}};
    case 'R': return {{'d', at::aborted}, {'x', at::aborted}};
    case 'r':
      if (there.state != at::prepared) return {{'g', there.state}, {'x', there.state}};
      return {{'d', at::aborted}, {'g', at::aborted}, {'e', at::prepared}, {'x', at::prepared}, {'x', at::aborted}};
    case 'c':
      if (there.state != at::prepared) return {{'g', there.state}, {'x', there.state}};
      return {{'d', at::committed}, {'g', at::committed}, {'e', at::prepared}, {'x', at::prepared}, {'x', at::committed}};
    default: return none;
  }
}

struct walker {
  std::string path, found;  // the way here; the first rule that was broken, with its way
  std::size_t ends = 0;

  struct world {
    two_phase end;
    std::vector<shard> shards;
    std::optional<std::size_t> decider;
  };

  bool rule(bool holds, std::string_view words) {
    if (!holds && found.empty()) found = std::string(words) + ":" + path;
    return holds;
  }

  static bool decided(const world& w) { return w.decider && w.shards[*w.decider].state == at::committed; }
  static bool work_is_prepared(const world& w) {
    return std::ranges::any_of(w.shards, [](const shard& s) { return s.state == at::prepared && !s.only_locks(); });
  }

  void check_prepare(world& w, std::size_t i) {
    auto& s = w.shards[i];
    s.gid = gid_of(w.end.message(i));
    const auto gid = migration::branch_gid::parse(s.gid);
    if (!rule(gid.has_value(), "a name that is none")) return;
    const auto by = gid->decider.value - 1;
    rule(!w.decider || *w.decider == by, "two deciders");
    w.decider = by;
    rule(by != i && w.shards[by].state == at::open && w.shards[by].wrote(), "the decider cannot decide");
    rule(w.shards[by].id, "the decider has no transaction id before the first is prepared");
    rule(s.letter != 'd' && s.letter != 'D', "what PREPARE TRANSACTION refuses is prepared");
    rule(gid->uuid == uuid && gid->number == i + 1 && gid->locks_only == s.only_locks(), "another's name");
  }

  void check_commit(const world& w, std::size_t i) {
    const auto& s = w.shards[i];
    if (!s.wrote()) return void(rule(!decided(w), "a reader is committed behind the decision"));
    for (const auto& other : w.shards) {
      if (&other != &s) rule(other.state == at::committed && !other.wrote(), "one-phase commit beside another with something to lose");
    }
  }

  void check_message(world& w, std::size_t i) {
    const auto& s = w.shards[i];
    const auto message = kind_of(w.end.message(i));
    if (message == '.') return;
    rule(s.connected, "a message for a connection that is lost");
    switch (message) {
      case 'a':
      case 'x': return void(rule(s.state == at::open, "a question to no transaction"));
      case 'P': return rule(s.state == at::open, "nothing to prepare") ? check_prepare(w, i) : void();
      case 'C': return rule(s.state == at::open, "nothing to commit") ? check_commit(w, i) : void();
      case 'D':
        rule(w.decider == i && s.state == at::open, "not the decider");
        for (std::size_t k = 0; k < w.shards.size(); ++k)
          if (k != i) rule(w.shards[k].state == (w.shards[k].may_lose() ? at::prepared : at::committed), "decided too soon");
        return;
      case 'R': return void(rule(s.state == at::open || s.state == at::failed, "nothing to roll back"));
      case 'r':
        rule(gid_of(w.end.message(i)) == s.gid, "the name of another");
        return void(rule(!decided(w) || s.state != at::prepared, "ROLLBACK PREPARED behind the decision"));
      case 'c':
        rule(gid_of(w.end.message(i)) == s.gid, "the name of another");
        rule(decided(w), "COMMIT PREPARED before the decision");
        return void(rule(!s.only_locks() || !work_is_prepared(w), "a lock was let go before the work that it guards was to be seen"));
      default: rule(false, "an unknown message");
    }
  }

  void check_end(const world& w) {
    ++ends;
    const auto result = w.end.result();
    const auto left = w.end.left_over();
    const bool committed = std::ranges::any_of(w.shards, [](const shard& s) { return s.wrote() && s.state == at::committed; });
    for (std::size_t i = 0; i < w.shards.size(); ++i) {
      const auto& s = w.shards[i];
      const bool told = std::ranges::any_of(left, [&](const auto& l) { return l.shard.value == i + 1 && l.gid == s.gid; });
      rule(s.state != at::prepared || told, "left prepared, and nobody is told");
      rule(!s.connected || (s.state != at::open && s.state != at::failed), "a transaction is left open");
      if (result == outcome::committed) rule(!s.wrote() || s.state == at::committed || s.state == at::prepared, "half a commit");
      if (result == outcome::committed && s.only_locks())
        rule(!work_is_prepared(w) || s.state == at::prepared, "locks are let go before the work that they guard");
    }
    const bool may_commit = std::ranges::any_of(w.shards, [](const shard& s) { return s.wrote(); });
    if (result == outcome::committed) rule(committed || !may_commit, "the client was told COMMIT");
    if (result == outcome::committed && w.decider) rule(decided(w), "the client was told COMMIT without a decision");
    if (result == outcome::aborted) rule(!committed, "the client was told an error");
    if (result == outcome::unknown) rule(w.end.why().sqlstate == "08007", "unknown, but told otherwise");
    if (result == outcome::aborted) rule(!w.end.why().sqlstate.empty() && w.end.why().sqlstate != "08007", "aborted, but told otherwise");
  }

  // What can be heard in doubt: the truth, or nothing; or an abort that was written behind a commit which the recoverer has carried out.
  void walk_doubt(const world& w) {
    const bool yes = decided(w);
    for (const auto& [said, carried_out] : {std::pair(yes ? verdict::commit : verdict::abort, false), std::pair(verdict::unknown, false),
                                            std::pair(verdict::abort, true)}) {
      if (carried_out && !yes) continue;
      auto next = w;
      for (auto& s : next.shards)
        if (carried_out && s.state == at::prepared) s.state = at::committed;
      const auto length = path.size();
      path += said == verdict::commit ? " commit" : said == verdict::abort ? " abort" : " unknown";
      next.end.take(said);
      walk(std::move(next));
      path.resize(length);
    }
  }

  void walk(world w) {
    if (!found.empty() || !rule(path.size() < 200, "no end")) return;
    if (w.end.result() != outcome::pending) return check_end(w);
    if (w.end.in_doubt()) return walk_doubt(w);
    const auto length = path.size();
    path += ' ';
    for (std::size_t i = 0; i < w.shards.size(); ++i) path += kind_of(w.end.message(i));
    for (std::size_t i = 0; i < w.shards.size(); ++i) check_message(w, i);
    path += ':';
    std::vector<two_phase::reply> replies(w.shards.size());
    answer(w, replies, 0);
    path.resize(length);
  }

  void answer(const world& w, std::vector<two_phase::reply>& replies, std::size_t i) {
    if (!found.empty()) return;
    if (i == w.shards.size()) {
      auto next = w;
      next.end.take(replies);
      return walk(std::move(next));
    }
    const auto message = kind_of(w.end.message(i));
    auto all = all_of(message, w.shards[i]);
    const auto now = w.shards[i].state;
    if (message != '.') all.push_back({'u', now == at::open || now == at::failed ? at::aborted : now});
    for (const auto& each : all) {
      auto next = w;
      auto& s = next.shards[i];
      s.state = each.then;
      s.connected = s.connected && each.answer != 'x' && each.answer != 'u';
      s.id = s.id || (message == 'x' && each.answer == 'd');
      replies[i] = reply_of(each.answer);
      path.push_back(each.answer);
      answer(next, replies, i + 1);
      path.pop_back();
    }
  }
};

std::size_t ends_of(const std::string& letters) {
  walker::world w{two_phase(participants_of(letters), uuid), {}, {}};
  for (const char letter : letters) {
    shard s;
    s.letter = letter;
    s.id = has_id(letter);
    w.shards.push_back(s);
  }
  walker all;
  all.walk(std::move(w));
  CAPTURE(letters);
  CHECK(all.found == "");
  return all.ends;
}

std::size_t ends_of_all(std::string letters, std::size_t size) {
  if (letters.size() == size) return ends_of(letters);
  std::size_t ends = 0;
  for (const char letter : std::string_view("rwnlBDd")) ends += ends_of_all(letters + letter, size);
  return ends;
}

}  // namespace

TEST_CASE("two_phase: no sequence of answers breaks a rule, with two and three branches") {
  CHECK(ends_of_all("", 2) > 1'000);
  CHECK(ends_of_all("", 3) > 90'000);
}

TEST_CASE("two_phase: no sequence of answers breaks a rule, with four branches") {
  for (const char* letters : {"wlrw", "lwlw", "wwww", "rdlw"}) CHECK(ends_of(letters) > 1'000);
}
