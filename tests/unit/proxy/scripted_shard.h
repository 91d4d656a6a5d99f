// A shard as sessions see it, without a PostgreSQL: it reads whole messages, keeps what transactions write by the text of the statement, and
// answers in the order and with the buffering of a server (manual 55.2). It knows as much SQL as pgrotor itself says and the tests need; a
// statement with the word boom fails, at one with "dies of 57P01" the session ends with that, and what it does not know has a tag and nothing else. One message is one step, and can be made to go
// wrong. One thread.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/backend.h"
#include "scripted_line.h"

namespace scripted {

// What becomes of one message.
enum class fault {
  none,
  lost_before,  // the connection breaks before it is read
  lost_behind,  // ... when all that it says has been done, and nothing was answered
  cut,          // ... in the middle of the answer
  fatal,        // not done: an ErrorResponse with severity FATAL, and the end
  refused,      // not done: an ErrorResponse
  silent,       // it is not read, nor is anything else
  nonsense,     // done and answered, behind a message that nobody has asked for
};

class shard_connection;

struct shard {
  explicit shard(std::string called) : name(std::move(called)) {}
  std::string name;
  std::vector<std::string> committed;                        // what was written, in the order of the commits
  std::map<std::string, std::vector<std::string>> prepared;  // ... and what may be yet, by name of the prepared transaction
  std::string heard;                                         // what its connections were sent
  bool catalog_locked = false;                               // whoever asks what a transaction has left waits in vain
  std::vector<std::unique_ptr<shard_connection>> connections;
  bool has_committed(std::string_view word) const;
  void finish(const std::string& gid, bool committed);  // what is prepared under that name
};

class shard_connection {
 public:
  shard_connection(shard& of, std::shared_ptr<line> with, int number) : pid(number), shard_(of), line_(std::move(with)) {}

  const int pid;
  bool refused_begin = false;  // what came behind it was run on its own
  bool waits() const { return !gone_ && !silent_ && !next().empty(); }  // for step()
  void step(fault);
  void cancel() { cancelled_ = true; }  // as a CancelRequest: for what runs, or nothing
  void vanish();                        // it breaks, as with its server
  void end_with(std::string_view sqlstate, bool warns = false);  // ... and says why: FATAL, or a warning in front of the end
  bool gone() const noexcept { return gone_; }
  bool silent() const noexcept { return silent_; }
  // pgrotor has closed it, and all that it had said is done.
  void notice_end();
  // Why it must not serve another client; empty: it may.
  std::string unfit() const;
  line& wire() noexcept { return *line_; }
  // A notification: at once, or in the same write as the next ReadyForQuery outside of a block, behind it.
  void notify(std::string_view channel, bool behind_ready = false);
  // Of the session: settings and the like that are not a transaction's.
  std::string settings() const;

 private:
  struct result {
    std::vector<std::string> columns;
    std::vector<std::vector<std::optional<std::string>>> rows;
    std::string tag, failed, dies, warns;
    char copy = 0;  // 'G' in, 'H' out
  };
  struct kept {  // what a rollback takes back
    std::map<std::string, std::string> settings;
    std::set<std::string> listening;
    bool temporary = false;
  };
  struct verb {
    std::string_view words;
    result (shard_connection::*run)(std::string_view);
  };
  static const std::vector<verb>& verbs();

  std::string_view next() const;
  void answer(char type, std::string_view body);
  void refuse(char type, std::string_view sqlstate);
  void simple(std::string_view sql);
  void copy_message(char type, std::string_view body);
  void extended(char type, std::string_view body);
  void parse(std::string_view body);
  void bind(std::string_view body);
  void describe(std::string_view body);
  void execute(std::string_view body);
  void call();
  void run_again(std::string_view sql);
  bool refuses_in_failed(std::string_view sql) const;
  void begin_implicit();
  void say(const result&, bool described);
  void fail(std::string_view sqlstate);
  void ready();
  void report(const char* name, const char* otherwise);
  void flush();

  result run(std::string_view sql);
  result begin(std::string_view);
  result commit(std::string_view);
  result rollback(std::string_view);
  result savepoint(std::string_view);
  result release(std::string_view);
  result rollback_to(std::string_view);
  result prepare(std::string_view);
  result finish_prepared(std::string_view);
  result set(std::string_view);
  result reset(std::string_view);
  result show(std::string_view);
  result listen(std::string_view);
  result discard(std::string_view);
  result write(std::string_view);
  result temporary(std::string_view);
  result copy(std::string_view);
  result has_id(std::string_view);
  result take_id(std::string_view);
  result decide(std::string_view);
  result set_config(std::string_view);
  result find_prepared(std::string_view);
  result probe(std::string_view);
  result may_signal(std::string_view);
  result is_blocked(std::string_view);
  result give_rows(std::string_view);
  result select(std::string_view);
  result one(std::string value) const;
  std::optional<std::string> setting(const std::string& name) const;
  void end(bool committed);
  void chain(std::string_view sql);

  shard& shard_;
  std::shared_ptr<line> line_;
  std::string out_;  // not flushed
  protocol::transaction_status status_ = protocol::transaction_status::idle;
  std::vector<std::string> work_;
  std::vector<std::pair<std::string, std::size_t>> savepoints_;
  std::map<std::string, std::string> statements_, portals_;
  std::set<std::string> spent_;  // portals that have been run
  kept now_, before_;
  std::map<std::string, std::string> local_, told_;
  std::string copied_, behind_ready_;
  char copying_ = 0;  // 'Q' or 'E': what has begun it
  bool alone_ = false;  // what runs is all of its transaction
  bool open_ = false, has_id_ = false, skips_ = false, cancelled_ = false, gone_ = false, silent_ = false;
};

}  // namespace scripted
