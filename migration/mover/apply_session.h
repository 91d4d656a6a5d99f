// The mover's one session on the target: replica role, under the migration's replication origin, in pipeline mode with prepared
// statements and binary values. Strict: a change that does not meet exactly the row it is about is an error that names table and key
// and rolls back. Coordinator's thread.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "migration/mover/apply_target.h"

namespace migration {

struct stored_chunk {
  table_slice slice;
  int number = 0;
  snapshot seen;
  protocol::lsn high;
  std::uint64_t rows = 0, bytes = 0, scanned = 0;
};

class apply_session final : public apply_target {
 public:
  explicit apply_session(mover_context& context) : context_(context) {}

  // Connects and takes the origin; a predecessor whose session is still dying is waited for.
  task<void> open();
  // The origin's progress: every source transaction that ends up to here is applied.
  task<protocol::lsn> read_progress();
  // What the target's catalog says of each table.
  task<void> read_tables();
  // What earlier movers loaded, ascending in each table.
  task<std::vector<stored_chunk>> read_chunks();
  // Where a restart needs the stream from; 0 when no chunk was loaded yet.
  task<protocol::lsn> read_hold_floor();

  bool in_transaction() const noexcept override { return in_transaction_; }
  std::size_t queued() const noexcept override { return queued_.size(); }
  std::size_t queued_bytes() const noexcept override { return queued_bytes_; }
  void queue(const row_change&, change_part, std::string message) override;
  task<void> verify() override;
  task<void> commit(protocol::lsn position, std::int64_t commit_time) override;
  task<bool> load(read_chunk&, const std::vector<const held_change*>& pending, const relation_book&, load_position) override;

 private:
  struct queued_statement {
    std::size_t table = 0;
    bool one_row = false;  // UPDATE and DELETE; an INSERT fails by itself
    const char* verb = "";
    change_part part{};
    std::string message;
  };

  // `sql` is asked for at the first use of the name.
  void execute(const std::string& name, const std::function<std::string()>& sql, std::span<const pg::binary_param>, queued_statement);
  void add_value(std::vector<pg::binary_param>&, const protocol::pgoutput::value&);
  void add_key(std::vector<pg::binary_param>&, const table_plan&, const protocol::pgoutput::tuple&);
  void queue_insert(const row_change&, std::string message);
  void queue_delete(const row_change&, std::string message);
  void queue_update(const row_change&, std::string message);
  void queue_plain(const std::string& sql);
  void queue_pending(const std::vector<const held_change*>&, const relation_book&);
  void queue_record(const read_chunk&, protocol::lsn floor);
  task<void> load_in_transaction(read_chunk&, const std::vector<const held_change*>&, const relation_book&, load_position);
  task<void> roll_back();
  std::string describe(const queued_statement&) const;
  std::string origin_setup(protocol::lsn position, std::int64_t commit_time) const;

  mover_context& context_;
  std::unique_ptr<pg::connection> target_;
  std::set<std::string, std::less<>> prepared_;
  std::vector<queued_statement> queued_;
  std::deque<std::string> texts_;  // values in text form need a terminating zero while they are queued
  std::size_t queued_bytes_ = 0;
  bool in_transaction_ = false;
};

}  // namespace migration
