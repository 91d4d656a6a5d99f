// Server connections of one worker for one (user, database, startup parameters, shard). Sessions queue in order of arrival and with a
// time limit, in a coroutine or without one; connections are opened in the background, one for each permit that the worker's desk gets
// (permit_desk.h), and go to whoever is first when they are ready. Idle ones are watched, and one that breaks is thrown away. Worker's thread only.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <boost/intrusive/list.hpp>

#include "proxy/counters/counters.h"
#include "proxy/shard/permit_desk.h"
#include "proxy/shard/server_connection.h"
#include "proxy/state/equal_settings.h"
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

// Of the pools of one user, database and set of startup parameters, one a shard.
struct standard_settings {
  std::optional<server_settings> values;  // of the default shard; none before its first login
  std::vector<pool*> pools;
};
using standard_ptr = std::shared_ptr<standard_settings>;

// What a worker knows of a shard, and wants to be told of it.
class shard_watch {
 public:
  // Why new connections are pointless at the moment; nullptr: they are not.
  virtual const protocol::notice* down() const noexcept = 0;
  virtual void failed(const protocol::notice& why, const server_target& tried) = 0;

 protected:
  ~shard_watch() = default;
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

  pool(boost::asio::io_context&, pool_key, pool_limits, counters&, permit_desk&, shard_watch&, standard_ptr);
  ~pool();
  // Where to log in, from the current map; the secret of the latest client.
  void set_target(server_target target) { target_ = std::move(target); }
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
  void shard_changed();  // it went down, or answers again
  void look_again() noexcept { looked_at_ = {}; }
  const standard_ptr& standard() const noexcept { return standard_; }
  // Startup parameters that make this shard's sessions start as the default shard's do, and what differs all the same.
  const text_pairs& made_equal() const noexcept { return given_; }
  const std::vector<std::string>& unequal() const noexcept { return told_; }

  const credentials& secret() const noexcept { return target_.secret; }
  const pool_key& key() const noexcept { return key_; }
  std::size_t total() const noexcept { return total_; }
  std::size_t idle() const noexcept { return idle_.size(); }
  std::size_t waiting() const noexcept { return queue_.size(); }
  std::size_t opening() const noexcept { return opening_; }
  std::chrono::microseconds longest_wait() const noexcept;
  const std::vector<server_ptr>& idle_servers() const noexcept { return idle_; }
  const std::vector<server_connection*>& attached_servers() const noexcept { return attached_; }
  // What servers of this pool told at login; empty before the first.
  const text_pairs& parameters() const noexcept { return reported_ ? reported_->values() : none_; }
  const name_values_ptr& reported() const noexcept { return reported_; }
  known_defaults& defaults() noexcept { return defaults_; }
  // Do triggers of this database look as if they made state? Asked again after a while.
  bool triggers_make_state() const noexcept { return triggers_make_state_; }
  bool knows_triggers(clock::time_point now) const noexcept { return now < triggers_asked_ + std::chrono::seconds(10); }
  void note_triggers(bool make_state, clock::time_point now) noexcept { triggers_make_state_ = make_state, triggers_asked_ = now; }
  // Somebody calls currval or lastval: servers forget what they remember when they change their client.
  void note_sequence_values() noexcept { sequence_values_ = true; }
  bool sequence_values() const noexcept { return sequence_values_; }
  bool unused() const noexcept { return total_ == 0 && queue_.empty() && !telling_; }

  permit_want wanted() const override;
  void permit_lent() override;
  clock::time_point idle_since() const override;
  void close_one_idle() override;

 private:
  task<void> open();
  void opened(open_result);
  // pool_settings.cc
  task<open_result> open_equal(wakeup&);
  task<std::optional<server_settings>> ask_settings(server_connection&, wakeup&, clock::time_point deadline, protocol::notice& failed);
  bool accept_settings(server_settings, open_result&);
  void set_standard(server_settings);
  task<bool> started_as_now(server_connection&, wakeup&);
  task<void> look_and_release(server_ptr);
  bool due_for_look(clock::time_point now) const noexcept;
  protocol::notice refused_start(const std::vector<std::string>& differences) const;
  task<acquired> wait_in_queue(wakeup&, const bool& cancelled);
  task<bool> still_answers(server_connection&, wakeup&);
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
  void forget_closed(std::size_t count) noexcept;
  void fail_queue(const protocol::notice&);
  // Connections work although new ones may not be possible.
  bool lives() const noexcept;
  bool too_old(const server_connection&, clock::time_point now) const noexcept;
  void count_wait(clock::time_point since);

  boost::asio::io_context& io_;
  pool_key key_;
  permit_owner owner_;
  pool_limits limits_;
  counters& counters_;
  permit_desk& desk_;
  const permit_desk::account& account_;
  shard_watch& shard_;
  server_target target_;
  std::vector<server_ptr> idle_;  // most recently used last
  std::vector<server_connection*> attached_;
  boost::intrusive::list<place> queue_;
  boost::intrusive::list<place> settled_;  // and not told yet
  bool telling_ = false;                   // tell_settled() is under way, or runs
  std::size_t total_ = 0;    // idle, attached, being opened, given to one in the queue
  std::size_t opening_ = 0;
  bool paused_ = false;
  std::size_t warm_ = 0;     // as many are to be open for the time of warm()
  std::vector<wakeup*> warming_;
  clock::time_point warm_since_, last_answer_, open_again_;
  name_values_ptr reported_;
  const standard_ptr standard_;
  std::optional<server_settings> seen_;  // at the latest login
  clock::time_point looked_at_{};        // whether it is still so
  text_pairs given_;
  std::vector<std::string> told_;
  const text_pairs none_;
  known_defaults defaults_;
  bool sequence_values_ = false, triggers_make_state_ = false;
  clock::time_point triggers_asked_{};
  std::uint64_t next_serial_ = 0;
};

}  // namespace proxy
