// Snapshot-visibility backfill (DESIGN 6) as decisions without I/O: which chunk a change belongs to, whether it is applied, skipped or
// held, what a loaded chunk releases, when a held change may be dropped, and how far the slot may be confirmed. The model in
// tests/models/backfill.py checks these rules exhaustively under crashes. One owner (the mover), one thread.
//
// Everything in the stream's order: judge() and hold() see changes by commit LSN; load() happens between source transactions.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "migration/mover/key_order.h"
#include "migration/mover/snapshot.h"
#include "protocol/pgoutput.h"

namespace migration {

struct source_transaction {
  std::uint32_t xid = 0;        // top level
  protocol::lsn commit_lsn;     // where its commit record starts
};

// Which part of a change is held: one that moves a row to another key is a delete at the old and an insert at the new one.
enum class change_part : std::uint8_t { whole, delete_old, insert_new };

struct held_change {
  std::size_t table = 0;
  std::string key;              // ordered, of the slicing columns
  source_transaction transaction;
  change_part part{};
  std::string message;          // the pgoutput message
};

enum class verdict {
  apply,
  skip,  // the chunk, or an earlier mover, has brought it already
  hold,  // its chunk is not loaded yet
};

class svb {
 public:
  // `applied`: the origin's progress on the target at start; what committed before it was applied to chunks restored here.
  // `position`: where the stream starts.
  svb(std::size_t tables, protocol::lsn applied, protocol::lsn position);

  // A chunk that an earlier mover loaded.
  void restore(std::size_t table, key_slice, snapshot, protocol::lsn high);

  // Reads of chunks. Between begin_read and opened a snapshot is being taken and its content is not known.
  using read_id = std::uint64_t;
  read_id begin_read();
  // `seen`: a WAL insert position taken after the snapshot; what commits from there on is invisible in it.
  void opened(read_id, snapshot, protocol::lsn seen);
  void abandon(read_id);

  // A snapshot polled on the source.
  void observe(snapshot, protocol::lsn seen);

  verdict judge(std::size_t table, std::string_view key, const source_transaction&) const;
  void hold(held_change);
  // The stream has reached `position` with nothing of a transaction left open.
  void advance(protocol::lsn position);

  // Chunks may be loaded once everything that an earlier mover applied has passed by again: until then the origin's progress does
  // not say what was applied to a chunk loaded here.
  bool may_load() const noexcept { return position_ >= applied_; }
  // Held changes of a chunk that its snapshot does not see, in commit order: to be applied after its rows. The pointers hold until
  // load() or abandon() of this read.
  std::vector<const held_change*> pending(std::size_t table, const key_slice&, const snapshot&, protocol::lsn high) const;
  // The chunk with its pending changes is durable on the target.
  void load(std::size_t table, key_slice, read_id, snapshot, protocol::lsn high);

  protocol::lsn position() const noexcept { return position_; }
  // No restart may begin behind this: the oldest held change, or the position.
  protocol::lsn floor() const noexcept;
  std::size_t held() const noexcept { return held_.size(); }
  std::size_t held_bytes() const noexcept { return held_bytes_; }

 private:
  struct bound {  // upper bounds in order; unbounded is last
    std::optional<std::string> key;
    bool operator<(const bound& other) const noexcept { return key && (!other.key || *key < *other.key); }
  };
  struct chunk {
    std::optional<std::string> lower;
    std::optional<snapshot> seen;  // forgotten past `high`
    protocol::lsn high;
    bool restored = false;
  };
  struct open_snapshot {
    snapshot seen;
    protocol::lsn limit;
  };
  const chunk* find_chunk(std::size_t table, std::string_view key) const;
  void add_chunk(std::size_t table, key_slice, chunk);
  void drop_visible();
  std::vector<std::uint64_t> held_inside(std::size_t table, const key_slice&) const;
  void remove(std::uint64_t number);
  bool droppable(const source_transaction&) const;

  std::vector<std::map<bound, chunk, std::less<>>> chunks_;  // per table
  std::multimap<protocol::lsn, chunk*> with_snapshot_;       // by high
  std::map<std::uint64_t, held_change> held_;                // commit order
  std::vector<std::set<std::pair<std::string, std::uint64_t>>> index_;  // per table: key and number in held_
  std::uint64_t next_held_ = 1;
  std::size_t held_bytes_ = 0;
  std::map<read_id, std::optional<open_snapshot>> reads_;
  std::optional<open_snapshot> horizon_;
  read_id next_read_ = 1;
  protocol::lsn applied_, position_;
};

}  // namespace migration
