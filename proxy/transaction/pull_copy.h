// Executor `pull` (DESIGN 9): the rows that shards give of the relations of a statement, on their way to the server that runs it on copies of them.
// Rows are read and written in PostgreSQL's binary formats, which nobody here has to understand: a field of a record (record_send) is a field of
// COPY (manual: sql-copy, "Binary Format"). One statement reads all relations of a shard, so that they are of one snapshot. Sans-I/O; one object a
// statement, its session's thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/wire.h"
#include "proxy/shard/conversation.h"
#include "proxy/transaction/transaction_log.h"
#include "routing/analysis/pull.h"

namespace proxy {

// What a shard is asked: its rows of all relations that it has a part of, each with the number of its copy. Empty: it has none.
std::string rows_of_shard(std::span<const routing::pulled_copy>, routing::shard_id, const routing::shard_map&);

class pull_copy {
 public:
  // `limit`: bytes of rows.
  pull_copy(const routing::pull_plan&, std::size_t limit);

  // The messages with which the server that is to run the statement begins, in front of all rows: a transaction that is not the client's, with
  // the settings of that one.
  void begin(std::string& out, const transaction_log&);
  // What a shard says of its rows, cut anywhere; messages for that server are appended.
  void take(std::string_view bytes, std::string& out);
  // Behind the last shard.
  void finish(std::string& out);

  // So many ReadyForQuery messages will answer what was appended.
  std::size_t queries() const noexcept { return queries_; }
  // The error of a shard, as it said it, or that there are too many rows.
  const std::string& failure() const noexcept { return failure_; }
  void fail(std::string_view error_frame) { failure_ = error_frame; }

 private:
  struct copy {
    std::string name;
    std::string rows;  // COPY's, not sent yet
    std::size_t count = 0;
  };
  void ask(std::string_view sql, std::string& out);
  void frame(std::string_view whole, std::string& out);
  void row(std::string_view body, std::string& out);
  bool fields(protocol::wire_reader&, std::string& rows);
  void send(copy&, std::string& out);
  void refuse(std::string_view code, std::string message, std::string detail, std::string hint);

  const routing::pull_plan& plan_;
  std::vector<copy> copies_;
  std::string rest_;  // of a message that is not there whole
  std::string failure_;
  std::size_t queries_ = 0, bytes_ = 0, limit_;
};

// What that server says to it: the first error, and how many of the queries it has answered.
class copy_answers final : public framed_conversation {
 public:
  std::size_t ready() const noexcept { return ready_; }
  const std::string& failure() const noexcept { return failure_; }

 private:
  void hear_frame(char type, std::string_view frame) override;
  std::size_t ready_ = 0;
  std::string failure_;
};

}  // namespace proxy
