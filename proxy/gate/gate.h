// The gate: where a worker holds statements for a moving set until the next map arrives (DESIGN 7, steps 1 and 6).
//
//   open --close()--> closing --no open transaction has touched the set--> closed --open()--> open
//                        \------------ budget ran out: reopen -----------------------------/
//   closing: what begins now and touches the set waits; transactions that already have a server connection on the source run on,
//            first touches of the set included (holding one that has row locks would deadlock with one that was let through); so do those
//            that had written or locked on any shard before it closed (DESIGN 9, "Branches and moves").
//   closed:  everything that touches the set waits, until open() or its hold budget (55P03).
//
// gate_book is one worker's part: plain state, no I/O, owned by the worker's thread. gate_controller is what the coordinator calls:
// it posts to every worker and completes when all have done it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "migration/plan/gates.h"
#include "routing/route/router.h"

namespace proxy {

class worker;

// Bits of the moving sets that a transaction has touched; bit i belongs to the worker's i-th known set.
using touch_bits = std::uint64_t;

class gate_book {
 public:
  enum class phase { open, closing, closed };
  enum class verdict { pass, wait, refuse_row_locks };

  // Announce: returns the bit, or nullopt when 64 sets are known already. Announced again, a set keeps its bit and its phase.
  std::optional<int> add(migration::moving_set);
  // Returns the bit that is free again: transactions must drop it before another set gets it.
  touch_bits remove(std::uint64_t set);
  // False when the set is not known: what touches it cannot be told, so nothing can be promised.
  bool close(std::uint64_t set, std::uint32_t attempt);
  void seal(std::uint64_t set);  // closing -> closed
  void open(std::uint64_t set);

  // The bits of all sets that the touches fall into.
  touch_bits bits_of(std::span<const routing::touch>) const noexcept;
  // May a statement with these bits go on? `attached`: where its transaction already holds server connections; since when it may hold locks.
  verdict judge(touch_bits bits, bool row_locks, std::span<const routing::shard_id> attached,
                std::optional<migration::clock::time_point> holds_since = std::nullopt) const noexcept;
  // Open transactions that have touched the set; the session calls these once per transaction and bit.
  void transaction_touched(touch_bits bits) noexcept;
  void transaction_ended(touch_bits bits) noexcept;
  std::uint64_t open_transactions(std::uint64_t set) const noexcept;
  const migration::moving_set* known(std::uint64_t set) const noexcept;  // nullptr: not announced
  touch_bits bit_of(std::uint64_t set) const noexcept;                   // 0: not announced
  bool knows(routing::distribution_id) const noexcept;  // a set of it
  // Statements over several shards, which no set is moved for, between the look at what is known and the last BindComplete.
  class snapshots {
   public:
    explicit snapshots(gate_book& book) noexcept : book_(book) { ++book_.taking_snapshots_; }
    snapshots(const snapshots&) = delete;
    snapshots& operator=(const snapshots&) = delete;
    ~snapshots() { --book_.taking_snapshots_; }

   private:
    gate_book& book_;
  };
  bool snapshots_under_way() const noexcept { return taking_snapshots_ > 0; }
  bool nothing_known() const noexcept { return sets_.empty(); }  // the hot path's only question, almost always true

 private:
  struct entry {
    migration::moving_set set;
    phase now = phase::open;
    migration::clock::time_point closed;  // the latest time that it began to close
    std::uint32_t attempt = 0;
    std::uint64_t touching = 0;
    int bit = 0;
  };
  entry* find(std::uint64_t set) noexcept;
  std::vector<entry> sets_;
  std::size_t taking_snapshots_ = 0;
};

class gate_controller : public migration::gates {
 public:
  explicit gate_controller(std::span<const std::unique_ptr<worker>> workers) : workers_(workers) {}
  migration::task<void> announce(migration::moving_set) override;
  migration::task<void> warm(std::uint64_t set, migration::milliseconds budget) override;
  migration::task<bool> close(std::uint64_t set, std::uint32_t attempt, migration::milliseconds budget,
                              migration::milliseconds hold_budget) override;
  migration::task<void> hold(std::uint64_t set, migration::milliseconds hold_budget) override;
  migration::task<std::optional<migration::open_transaction>> oldest(std::uint64_t set) override;
  migration::task<migration::gate_report> open(std::uint64_t set) override;
  migration::task<void> forget(std::uint64_t set) override;
  migration::task<void> publish(std::shared_ptr<const routing::shard_map>) override;
  migration::task<migration::felt_latency> latency() override;
  migration::task<void> enter(migration::term_pass) override;
  migration::task<void> lease_renewed() override;

 private:
  std::span<const std::unique_ptr<worker>> workers_;
};

}  // namespace proxy
