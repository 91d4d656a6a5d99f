// The part of a transaction that no server knows yet: BEGIN, and SAVEPOINT, SET LOCAL, SET TRANSACTION before the first statement that
// needs a shard. The proxy answers them and keeps their texts, which are sent in front of that statement. Plain state of one session.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/backend.h"
#include "proxy/transaction/transaction_log.h"
#include "routing/analysis/plan.h"

namespace proxy {

bool is_transaction_control(routing::statement_kind) noexcept;
// SAVEPOINT, RELEASE, ROLLBACK TO.
bool moves_savepoints(routing::statement_kind) noexcept;
// COMMIT, ROLLBACK, PREPARE TRANSACTION: run in a failed transaction too.
bool ends_transaction(routing::statement_kind) noexcept;
// ROLLBACK, ROLLBACK TO: behind them a failed transaction has not failed.
bool undoes(routing::statement_kind) noexcept;
// The CommandComplete tag of a control statement, e.g. "START TRANSACTION" or "SET CONSTRAINTS".
std::string_view control_tag(routing::statement_kind, std::string_view sql) noexcept;

class held_transaction {
 public:
  static constexpr std::size_t max_bytes = transaction_log::max_bytes;

  // Would the proxy's answers to these statements, run in this order now, be PostgreSQL's?
  bool can_answer(std::span<const routing::statement_plan>) const;
  struct answer {
    std::string_view tag;
    bool already_in_progress = false;  // BEGIN in a transaction: a warning goes with it
  };
  answer run(const routing::statement_plan&, std::string_view sql);
  // Keeps the text for replay, once per message, when a transaction is open after it. `mixed`: its savepoints stand beside other statements.
  void keep(std::string_view sql, bool mixed = false);

  bool open() const noexcept { return open_; }
  bool failed() const noexcept { return failed_; }
  bool imports_snapshot() const noexcept { return imports_snapshot_; }
  void fail() noexcept { failed_ = open_ = true; }
  void clear() noexcept;
  // To a server, and back from one that has run nothing else. The log has the room for the next texts.
  void give(transaction_log&) noexcept;
  void take_back(transaction_log&) noexcept;
  const std::vector<std::string>& texts() const noexcept { return texts_; }
  protocol::transaction_status status() const noexcept;

 private:
  void finish(bool chain) noexcept;
  bool open_ = false, failed_ = false, imports_snapshot_ = false, mixed_ = false;
  std::vector<named_savepoint> savepoints_;
  std::size_t bytes_ = 0;
  std::vector<std::string> texts_;  // the first holds BEGIN
};

}  // namespace proxy
