// A small PostgreSQL and a small target in memory, stepped at random: commits in WAL order, visibility later and in another order,
// chunk reads, polls, loads, confirmations and crashes in between. svb decides, and the target is strict: a change must find exactly
// the version that came before it. The same as tests/models/backfill.py, for the code itself instead of a model of it.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <random>

#include "migration/base/test_hooks.h"
#include "migration/mover/svb.h"

using namespace migration;
using protocol::lsn;

namespace {

constexpr int keys = 6, keys_a_slice = 2, transactions = 10;
constexpr std::uint64_t wal_start = 1000, record = 10;

std::string name(int key) { return std::string(1, static_cast<char>('a' + key)); }
key_slice slice_of(int number) {
  key_slice out;
  if (number > 0) out.lower = name(number * keys_a_slice - 1);
  if (number < keys / keys_a_slice - 1) out.upper = name((number + 1) * keys_a_slice - 1);
  return out;
}

struct transaction {
  std::vector<int> writes;
  std::size_t written = 0;
  bool committed = false, visible = false;
  std::uint64_t xid = 0;
};

struct source {
  std::vector<transaction> all{transactions};
  std::vector<int> wal;                       // transactions in commit order
  std::vector<int> rows = std::vector<int>(keys, -1);     // the last visible writer of each key
  std::vector<int> writer = std::vector<int>(keys, -1);   // the last committed writer
  std::vector<std::vector<int>> before{std::vector<std::vector<int>>(transactions, std::vector<int>(keys, -2))};
  std::uint64_t next_xid = 100;

  lsn insert() const { return {wal_start + record * wal.size()}; }
  bool locked(int key, const transaction& by) const {
    for (const auto& other : all)
      if (&other != &by && !other.visible)
        for (std::size_t i = 0; i < other.written; ++i)
          if (other.writes[i] == key) return true;
    return false;
  }
  snapshot take() const {
    snapshot out{next_xid, next_xid, {}};
    for (const auto& one : all)
      if (one.xid != 0 && !one.visible) out.running.push_back(one.xid);
    std::sort(out.running.begin(), out.running.end());
    if (!out.running.empty()) out.xmin = out.running.front();
    return out;
  }
  bool step(int number) {
    auto& one = all[static_cast<std::size_t>(number)];
    if (one.written < one.writes.size()) {
      if (locked(one.writes[one.written], one)) return false;
      if (one.xid == 0) one.xid = next_xid++;
      ++one.written;
    } else if (!one.committed) {
      one.committed = true;
      wal.push_back(number);
      for (const int key : one.writes) {
        before[static_cast<std::size_t>(number)][static_cast<std::size_t>(key)] = writer[static_cast<std::size_t>(key)];
        writer[static_cast<std::size_t>(key)] = number;
      }
    } else if (!one.visible) {
      one.visible = true;
      for (const int key : one.writes) rows[static_cast<std::size_t>(key)] = number;
    } else {
      return false;
    }
    return true;
  }
  bool over() const {
    return std::all_of(all.begin(), all.end(), [](const auto& one) { return one.visible; });
  }
};

struct durable_chunk {
  int number;
  snapshot seen;
  lsn high;
};

struct simulation {
  explicit simulation(unsigned seed) : random(seed) {
    for (auto& one : world.all) {
      const int count = 1 + pick(3);
      for (int i = 0; i < count; ++i) {
        const int key = pick(keys);
        if (std::find(one.writes.begin(), one.writes.end(), key) == one.writes.end()) one.writes.push_back(key);
      }
      std::sort(one.writes.begin(), one.writes.end());  // no deadlocks
    }
    start_mover();
  }

  int pick(int below) { return static_cast<int>(random() % static_cast<unsigned>(below)); }

  void start_mover() {
    const auto from = std::max(stored_floor, confirmed);
    decisions.emplace(1, origin, from);
    next = (from.value - wal_start) / record;
    for (const auto& chunk : chunks) decisions->restore(0, slice_of(chunk.number), chunk.seen, chunk.high);
    for (auto& one : reads) one = {};
  }

  struct read {
    int phase = 0;  // 1 beginning, 2 opened, 3 read to the end
    svb::read_id id = 0;
    snapshot seen;
    lsn high;
    std::vector<int> values;
  };

  void put(int key, int number) {
    auto& row = target[static_cast<std::size_t>(key)];
    if (row != world.before[static_cast<std::size_t>(number)][static_cast<std::size_t>(key)]) wrong = true;
    row = number;
  }

  void step_read(int number) {
    auto& one = reads[static_cast<std::size_t>(number)];
    const bool loaded = std::any_of(chunks.begin(), chunks.end(), [&](const auto& chunk) { return chunk.number == number; });
    if (loaded) return;
    if (one.phase == 0) {
      one.id = decisions->begin_read();
      one.seen = world.take();
      for (int i = 0; i < keys_a_slice; ++i) one.values.push_back(world.rows[static_cast<std::size_t>(number * keys_a_slice + i)]);
    } else if (one.phase == 1) {
      decisions->opened(one.id, one.seen, world.insert());
    } else if (one.phase == 2) {
      one.high = world.insert();
    } else if (decisions->may_load()) {
      load(number, one);
      return;
    } else {
      return;
    }
    ++one.phase;
  }

  void load(int number, read& one) {
    for (int i = 0; i < keys_a_slice; ++i) target[static_cast<std::size_t>(number * keys_a_slice + i)] = one.values[static_cast<std::size_t>(i)];
    stored_floor = std::max(stored_floor, decisions->floor());
    for (const auto* change : decisions->pending(0, slice_of(number), one.seen, one.high)) put(change->key[0] - 'a', std::stoi(change->message));
    decisions->load(0, slice_of(number), one.id, one.seen, one.high);
    chunks.push_back({number, one.seen, one.high});
    origin = std::max(origin, decisions->position());
    one = {};
  }

  void step_stream() {
    if (next >= world.wal.size()) return;
    const int number = world.wal[next];
    const auto& one = world.all[static_cast<std::size_t>(number)];
    const source_transaction from{static_cast<std::uint32_t>(one.xid), lsn{wal_start + record * next}};
    bool applied = false;
    for (const int key : one.writes) {
      const auto judged = decisions->judge(0, name(key), from);
      if (judged == verdict::hold) {
        held_change held{0, name(key), from, change_part::whole, std::to_string(number)};
        decisions->hold(std::move(held));
      } else if (judged == verdict::apply) {
        put(key, number);
        applied = true;
      }
    }
    decisions->advance(lsn{wal_start + record * ++next});
    if (applied) origin = std::max(origin, decisions->position());
  }

  void step() {
    const int what = pick(20);
    if (what < 9) world.step(pick(transactions));
    else if (what < 13) step_read(pick(keys / keys_a_slice));
    else if (what < 17) step_stream();
    else if (what == 17) decisions->observe(world.take(), world.insert());
    else if (what == 18) confirmed = std::max(confirmed, decisions->floor());
    else if (crashes < 3 && pick(4) == 0) ++crashes, start_mover();
  }

  bool over() const { return world.over() && next == world.wal.size() && chunks.size() == keys / keys_a_slice; }

  // False: a row differs at the end, or a change met another version than the one before it.
  bool run() {
    for (int steps = 0; !over() && !wrong; ++steps) {
      REQUIRE(steps < 100'000);
      step();
    }
    return !wrong && target == world.rows && decisions->held() == 0;
  }

  std::mt19937 random;
  source world;
  std::optional<svb> decisions;
  std::vector<read> reads = std::vector<read>(keys / keys_a_slice);
  std::size_t next = 0;
  std::vector<int> target = std::vector<int>(keys, -3);  // durable from here on
  std::vector<durable_chunk> chunks;
  lsn origin{0}, stored_floor{wal_start}, confirmed{wal_start};
  int crashes = 0;
  bool wrong = false;
};

int failures(unsigned seeds) {
  int out = 0;
  for (unsigned seed = 1; seed <= seeds; ++seed) out += simulation(seed).run() ? 0 : 1;
  return out;
}

}  // namespace

TEST_CASE("svb_simulation: every schedule ends with equal rows, each change applied once to the version before it") {
  CHECK(failures(3'000) == 0);
}

#ifdef PGROTOR_TEST_HOOKS
TEST_CASE("svb_simulation: a broken rule is found") {
  for (const std::string rule : {"no_visibility", "apply_twice"}) {
    CAPTURE(rule);
    ::setenv("PGROTOR_TEST", ("break:" + rule).c_str(), 1);
    test_hooks::load_environment();
    CHECK(failures(300) > 0);
    ::setenv("PGROTOR_TEST", ("mend:" + rule).c_str(), 1);
    test_hooks::load_environment();
  }
  ::unsetenv("PGROTOR_TEST");
}
#endif
