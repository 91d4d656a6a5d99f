// A client without a socket: logs in with SCRAM, then says its turns one after the other as psql does, whatever it hears, until the connection
// ends. Driven by a world (scripted_world.h). One thread.
#pragma once

#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/backend.h"
#include "protocol/scram.h"
#include "scripted_line.h"

namespace scripted {

// What the client sends at once, and hears before it goes on.
struct turn {
  std::string sends;
  std::string until = "Z";           // messages of these types, in this order; "~": until nothing moves any more
  std::vector<std::string> commits;  // words of what is committed when this succeeds, and only then
  bool may_commit = false;           // outside of a block: where the answer is lost, nobody knows what came of it
  bool ends_block = false;
  bool in_copy = false;              // said only when the turn before has ended with CopyInResponse
};

turn query(std::string_view sql, std::vector<std::string> commits = {});
// Messages of the extended protocol, and Sync or Flush behind them.
turn pipeline(std::string frames, std::vector<std::string> commits = {});
turn flushed(std::string frames, std::string until);
// What is copied by the turn before.
turn copied(std::string frames, std::vector<std::string> commits = {});
std::string parse(std::string_view name, std::string_view sql);
std::string bind(std::string_view name, std::initializer_list<std::string_view> values = {});
std::string describe(char kind, std::string_view name);
std::string execute();
std::string close(char kind, std::string_view name);
std::string copy_data(std::string_view);
std::string copy_done();
std::string copy_fail();

class client {
 public:
  client(std::vector<turn> turns, std::string user, std::string password);

  const std::shared_ptr<line>& wire() const noexcept { return line_; }
  // It has something to say: a turn, or good-bye.
  bool has_turn() const noexcept { return !gone_ && !waits_; }
  void say();
  bool hear();  // true when a message was there
  void leave();
  bool gone() const noexcept { return gone_; }
  bool go_on();  // nothing moves: true when that ends its turn
  const std::optional<protocol::backend_key_data>& key() const noexcept { return key_; }
  const std::vector<turn>& turns() const noexcept { return turns_; }
  // What came behind that turn and before the next; empty: it was not reached, or nothing came.
  std::string heard(std::size_t turn) const;
  std::string greeting() const;  // from the end of the login to the first ReadyForQuery
  std::size_t reached() const noexcept { return at_; }  // turns that were said, skipped ones included

 private:
  void take(std::string_view frame);
  void authenticate(std::string_view body);
  bool ends_turn(std::string_view frame);

  std::vector<turn> turns_;
  std::shared_ptr<line> line_ = std::make_shared<line>();
  protocol::scram_client scram_;
  std::optional<protocol::backend_key_data> key_;
  std::vector<std::string> heard_;  // frames; those of the greeting first
  std::size_t at_ = 0, found_ = 0;  // of the turn's `until`
  bool waits_ = true, gone_ = false, copies_ = false, skips_ = false;
};

}  // namespace scripted
