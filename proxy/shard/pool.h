// Server connections of one worker for one (user, database, startup parameters, shard). Sessions queue in order of arrival and with a
// time limit, in a coroutine or without one; connections are opened in the background, one for each permit that the worker's desk gets
// (permit_desk.h), and go to whoever is first when they are ready. Idle ones are watched, and one that breaks is thrown away. It decides, and
// has no socket: what is done to connections is the keeper's (server_keeper.h). Worker's thread only.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <boost/intrusive/list.hpp>

#include "proxy/counters/counters.h"
#include "proxy/shard/permit_desk.h"
#include "proxy/shard/server_connection.h"
#include "proxy/shard/server_keeper.h"
#include "proxy/state/client_timeouts.h"
#include "proxy/state/probe.h"

namespace proxy {

struct pool_key {
  std::string user, database;
  text_pairs parameters;
  routing::shard_id shard;
  auto operator<=>(const pool_key&) const = default;
};

struct pool_limits {
  std::size_t size = 1;   // for words only: permits bound it
  std::size_t least = 0;  // as many stay open, if they ever were
  std::chrono::milliseconds wait{}, connect_timeout{};
  std::chrono::milliseconds lifetime{}, idle_timeout{}, check_after{};  // 0: none
  std::string check_query;
  bool last_used_first = true;
};

// What a worker knows of a shard, and wants to be told of it.
class shard_watch {
 public:
  // Why new connections are pointless at the moment; nullptr: they are not.
  const protocol::notice* down() const noexcept { return down_ ? &*down_ : nullptr; }
  virtual void failed(const protocol::notice& why, const server_target& tried) = 0;

 protected:
  ~shard_watch() = default;
  std::optional<protocol::notice> down_;
};

class pool final : public permit_user {
 public:
  struct acquired {
    server_ptr server;
    protocol::notice failed;  // when there is no server
  };

  // A place in the queue, until it is settled: a server was given, or the reason is known why there will be none. Then, or when the time
  // is up or nobody wants one any more, leave() has the outcome.
  class place : public boost::intrusive::list_base_hook<> {
   public:
    explicit place(readiness_listener& who) : who_(who) {}
    ~place() { abandon(); }
    bool settled() const noexcept { return given_ || failed_; }
    acquired leave(bool cancelled);
    void abandon() noexcept;  // a server that was given is closed

   private:
    friend class pool;
    readiness_listener& who_;   // told once it is settled, when nobody else's turn is interrupted
    pool* pool_ = nullptr;
    bool queued_ = false;
    clock::time_point since_;
    server_ptr given_;
    std::unique_ptr<protocol::notice> failed_;
  };

  pool(boost::asio::io_context&, pool_key, pool_limits, counters&, permit_desk&, const shard_watch&, server_keeper&);
  ~pool();
  void set_limits(pool_limits limits) { limits_ = std::move(limits); }

  // Waits at most the pool's limit. `wake` is the session's; `cancelled` becoming true (with a notify) ends the wait with 57014.
  // Preferred is one that already has the wanted settings; above all, one that remembers sequence values of `sequences_of` only.
  task<acquired> acquire(wakeup& wake, const bool& cancelled, const settings_ptr& wanted = nullptr, std::int32_t sequences_of = 0);
  // An idle connection when one can be had without waiting; nullptr: acquire() decides.
  server_ptr acquire_idle(const settings_ptr& wanted);
  // After acquire_idle() had none: all that is left to do is to queue.
  bool must_queue() const noexcept { return (idle_.empty() || !may_take_idle()) && (!shard_.down() || lives()); }
  void enter(place&);
  // A connection whose transaction is over: to the first in the queue, else idle. One that is unusable is closed.
  void release(server_ptr);
  void discard(server_ptr) noexcept;
  // What the keeper has opened, or why it could not.
  void opened(open_result);
  // Opens connections until there are `count`, or one fails, or the deadline passes.
  task<void> warm(std::size_t count, clock::time_point deadline);
  void idle_server_spoke(server_connection&);
  void close_idle();
  // What has been idle or open for too long is closed, what is missing to the least is asked for.
  void tick(clock::time_point now);
  // Paused, it gives nothing out, and closes what comes back.
  void set_paused(bool);
  bool paused() const noexcept { return paused_; }
  // What is open now is closed, in use when it is released.
  void reconnect();
  // A client has come for connections that are open: is its user still let in? Asked where the last login is older than that, or was refused.
  task<std::optional<protocol::notice>> refuses_login(std::chrono::milliseconds recheck, wakeup&);
  void doubt_login() noexcept { known_.let_in = {}; }
  void shard_changed();  // it went down, or answers again

  std::size_t total() const noexcept;  // those being opened included
  std::size_t active() const noexcept { return count(server_status::in_use) + count(server_status::asked); }
  std::size_t idle() const noexcept { return idle_.size(); }
  std::size_t waiting() const noexcept { return queue_.size(); }
  std::size_t opening() const noexcept { return count(server_status::opening); }
  std::chrono::microseconds longest_wait() const noexcept;
  const std::vector<server_connection*>& open_servers() const noexcept { return servers_; }
  // What servers of this pool told at login; empty before the first.
  const text_pairs& parameters() const noexcept { return known_.reported ? known_.reported->values() : known_.none; }
  const name_values_ptr& reported() const noexcept { return known_.reported; }
  known_defaults& defaults() noexcept { return known_.defaults; }
  // Those with which its sessions start.
  const client_timeouts& timeouts() const noexcept { return known_.timeouts; }
  void note_timeouts(const client_timeouts& seen) noexcept { known_.timeouts = seen; }
  // Do triggers of this database look as if they made state? Asked again after a while.
  bool triggers_make_state() const noexcept { return known_.triggers_make_state; }
  bool knows_triggers(clock::time_point now) const noexcept { return now < known_.triggers_asked + std::chrono::seconds(10); }
  void note_triggers(bool make_state, clock::time_point now) noexcept { known_.triggers_make_state = make_state, known_.triggers_asked = now; }
  // Functions of users that may make state have names of PostgreSQL's own: a call does not say which it means.
  void note_hidden_functions(bool there) noexcept { known_.hidden_functions = there; }
  bool hidden_functions() const noexcept { return known_.hidden_functions; }
  // Somebody calls currval or lastval: servers forget what they remember when they change their client.
  void note_sequence_values() noexcept { known_.sequence_values = true; }
  bool sequence_values() const noexcept { return known_.sequence_values; }
  bool unused() const noexcept { return total() == 0 && queue_.empty() && !telling_ && known_.logins_asked == 0; }

  permit_want wanted() const override;
  void permit_lent() override;
  clock::time_point idle_since() const override;
  void close_one_idle() override;

 private:
  // What is known of the database that its servers are of.
  struct database_facts {
    name_values_ptr reported;
    text_pairs none;
    known_defaults defaults;
    client_timeouts timeouts;
    bool sequence_values = false, triggers_make_state = false, hidden_functions = false;
    clock::time_point triggers_asked{};
    clock::time_point let_in{};  // its user, the last time
    int logins_asked = 0;        // that are under way
  };
  // As long as there are callers of warm(), `count` connections are to be open.
  struct warming {
    std::size_t count = 0;
    clock::time_point since;
    std::vector<wakeup*> callers;
  };

  std::size_t count(server_status one) const noexcept { return counts_[static_cast<std::size_t>(one)]; }
  void set_status(server_connection&, server_status) noexcept;
  task<bool> good_after_questions(server_connection&, wakeup&, bool check, bool look);
  task<void> look_and_release(server_ptr);
  task<acquired> wait_in_queue(wakeup&, const bool& cancelled);
  protocol::notice waited_in_vain() const;
  bool may_take_idle() const noexcept;
  bool due_for_check(const server_connection&, clock::time_point now) const noexcept;
  std::vector<server_ptr>::iterator next_idle(const settings_ptr& wanted, std::int32_t sequences_of) noexcept;  // when there is one
  server_ptr take_idle(const settings_ptr& wanted, std::int32_t sequences_of, clock::time_point now);
  void hand_over(server_ptr);
  void settle_first();
  void tell_later();
  void tell_settled();
  void close_idle_if(auto condition);
  void fail_queue(const protocol::notice&);
  // Connections work although new ones may not be possible.
  bool lives() const noexcept;
  bool too_old(const server_connection&, clock::time_point now) const noexcept;
  bool ends_itself(const server_connection&, clock::time_point now) noexcept;
  void count_wait(clock::time_point since);

  boost::asio::io_context& io_;
  pool_key key_;
  permit_owner owner_;
  pool_limits limits_;
  counters& counters_;
  permit_desk& desk_;
  const permit_desk::account& account_;
  const shard_watch& shard_;
  server_keeper& keeper_;
  std::vector<server_ptr> idle_;  // most recently used last
  std::vector<server_connection*> servers_;
  std::array<std::size_t, server_statuses> counts_{};
  boost::intrusive::list<place> queue_;
  boost::intrusive::list<place> settled_;  // and not told yet
  bool telling_ = false;                   // tell_settled() is under way, or runs
  bool paused_ = false;
  warming warm_;
  clock::time_point last_answer_, open_again_;
  database_facts known_;
  latest_timeouts timeouts_;  // of the server that was looked at last
  std::uint64_t next_serial_ = 0;
};

}  // namespace proxy
