// What is said with a server beside the relay: its login, questions of pgrotor's own, what several of them are told at once. A conversation
// decides and does no I/O: bytes of the server in, until it has heard what it wants, or nothing more can come of it. step() and converse() are
// the one place that sends what is queued, reads, waits and minds the deadline. Worker's thread only.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "protocol/backend.h"
#include "protocol/frame.h"
#include "proxy/net/wakeup.h"
#include "proxy/shard/exchange.h"
#include "proxy/shard/server_connection.h"

namespace proxy {

class conversation {
 public:
  enum class ending {
    none,      // more is to come
    answered,  // what was wanted has been heard
    failed,    // the server refuses, says that it ends the connection, or makes no sense
    lost,      // the connection has ended
    silent,    // the deadline has passed
  };

  // All that has come and was not used up; returns how much of it is done with. The end of the input counts when what came before it has
  // been heard.
  std::size_t take(std::string_view in, bool ended = false);
  // Behind the last take(): whoever waits may have stood still itself.
  void time_is_up() noexcept { end(ending::silent); }

  ending how() const noexcept { return ending_; }
  bool is_open() const noexcept { return ending_ == ending::none; }
  std::size_t whole() const noexcept { return whole_; }  // a message of this size must be there whole

 protected:
  ~conversation() = default;
  virtual std::size_t hear(std::string_view in) = 0;
  void need(std::size_t whole) noexcept { whole_ = whole; }
  void end(ending how) noexcept {
    if (is_open()) ending_ = how;
  }

 private:
  ending ending_ = ending::none;
  std::size_t whole_ = 0;
};

// How a conversation ended, to a client or a DBA; nothing when it went well.
std::string_view words_of(conversation::ending) noexcept;

// One that wants whole messages.
class framed_conversation : public conversation {
 public:
  explicit framed_conversation(std::uint32_t largest = protocol::max_frame_size) noexcept : largest_(largest) {}

 protected:
  ~framed_conversation() = default;
  virtual void hear_frame(char type, std::string_view frame) = 0;

 private:
  std::size_t hear(std::string_view in) final;
  const std::uint32_t largest_;
};

// One that ends with the next thing that an exchange has to tell. What the server says on its own account goes to `into`.
class exchange_conversation final : public conversation {
 public:
  exchange_conversation(exchange& answers, std::string& into) noexcept : answers_(answers), into_(into) {}
  exchange::event what() const noexcept { return what_; }
  protocol::transaction_status status() const noexcept { return status_; }
  // Of one that has ended otherwise than the caller can use.
  std::string why() const;

 private:
  std::size_t hear(std::string_view in) override;
  exchange& answers_;
  std::string& into_;
  exchange::event what_ = exchange::event::need_more;
  protocol::transaction_status status_ = protocol::transaction_status::idle;
};

// Sends, reads and lets hear, as far as that goes without waiting. `look`: also where no event has told of anything to read. True when bytes moved.
bool step(server_connection&, conversation&, bool look = false);
// The next event of the server wakes whoever listens to its socket.
void watch(server_connection&);

struct party {
  server_connection* server;
  conversation* talk;
};
// Until all have ended. `wake` listens to all of the sockets.
task<void> converse(std::span<const party>, wakeup& wake, clock::time_point deadline);
task<void> converse(server_connection&, conversation&, wakeup& wake, clock::time_point deadline);

struct alone_answer {
  std::string rows;     // DataRow frames
  std::string failure;  // the ErrorResponse frame
  std::optional<protocol::notice> refusal() const;
};
// Runs one simple query on a connection that nobody else uses, and keeps of the answer what is wanted. Failed: also when it left a transaction
// open, or more came than the answer.
task<conversation::ending> run_alone(server_connection&, std::string_view sql, wakeup& wake, clock::time_point deadline, alone_answer* wanted = nullptr);

}  // namespace proxy
