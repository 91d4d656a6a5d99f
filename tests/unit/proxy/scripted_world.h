// Sessions without a worker, a socket or a clock: one client, scripted shards behind real pools, and what a session asks of its worker
// (services.h). All moves in rounds until nothing does any more. One message to a shard, one login there, or one turn of the client is a step;
// a walk makes each of them go wrong in turn, in every way, and looks at what is then true.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "proxy/session/services.h"
#include "proxy/session/session.h"
#include "scripted_client.h"
#include "scripted_shard.h"

namespace scripted {

// What goes wrong at a step: with a shard, or with the client.
enum class trouble { none, lost_before, lost_behind, cut, fatal, refused, silent, nonsense, client_leaves, client_cancels };
inline constexpr int troubles = 10;
inline constexpr std::int32_t client_number = 5'000'001;  // of the one client of a world
std::string_view to_string(trouble) noexcept;

enum class recovers { nobody, unknowing, knowing };

struct setup {
  std::size_t piece = line::all;                  // bytes in pieces
  std::vector<std::size_t> pieces = {1, 3, 50};   // those that a walk tries
  std::size_t pool_size = 5;                      // of each shard
  bool asks_triggers = false;                     // a pool does not know what the triggers of its database do
  recovers commits = recovers::nobody;            // interrupted ones over several shards
  std::function<void(class world&, std::size_t turn)> before;  // a turn is said
  std::function<bool(class world&)> stands_still;  // nothing moves; true when it has moved something
  std::function<trouble(char kind)> goes_wrong;    // at each step, instead of one trouble at one step
  bool checks_turns = true;                        // what a client has heard for each turn is true
};

class recovery;
class shard_side;
struct scripted_pool;

class world final : public proxy::services {
 public:
  explicit world(setup = {});
  ~world();

  // One client from its login to its end.
  void run(std::vector<turn>, trouble = trouble::none, int at = 0);
  std::string signals;  // sent to other clients
  // What each step was: a message to a shard, a login there, a turn of the client.
  const std::string& kinds() const noexcept { return kinds_; }
  std::string heard(std::size_t turn) const { return client_->heard(turn); }
  std::string greeting() const { return client_->greeting(); }
  // What that shard has heard since this was asked last.
  std::string told(std::uint32_t shard);
  shard& at(std::uint32_t number) { return *shards_.at(number - 1); }
  proxy::session* session();  // while it lives
  void cancel_as_client();    // what it runs, or waits for
  proxy::pool& pool_of(std::uint32_t shard);
  std::string transcript() const;  // all that the client has heard behind its greeting, "<" in front of what came behind each turn
  int said(std::string_view word) const;  // so often that word is committed, or will be
  void client_leaves() { client_->leave(); }
  // Whatever has happened: what was said is true, and nothing is left behind.
  void check() const;

  proxy::pool* find_or_make_pool(const proxy::pool_key&, const proxy::credentials&) override;
  void give_back(proxy::server_ptr) override;
  void cancel_on_server(proxy::server_connection&) override;
  void reset_and_give_back(proxy::server_ptr) override;
  void cancel(protocol::cancel_request) override {}
  void signal(std::int32_t number, proxy::process_signal what) override { signals += (what == proxy::process_signal::cancel ? "cancel " : "end ") + std::to_string(number) + " "; }
  void touching_transaction_ended() override {}
  bool has_place(bool) const noexcept override { return true; }
  void session_let_in(std::int32_t) override {}
  void session_ended(std::int32_t) override { ++ended_; }

 private:
  friend struct scripted_pool;
  struct cancelling {
    const proxy::pool* home = nullptr;
    std::uint64_t serial = 0;
    shard_connection* to = nullptr;
  };
  bool round();
  bool shards_move();
  bool client_moves();
  bool cancels_arrive();
  void settle();
  bool let_time_pass(int so_often);
  fault next_step(char kind);
  bool log_in(scripted_pool&);
  proxy::task<void> reset_and_return(proxy::server_ptr);
  shard_connection& connection_of(const proxy::server_connection&);
  void check_pools() const;
  void check_prepared() const;
  void check_turn(std::size_t) const;
  bool is_prepared(std::string_view word) const;
  bool came_true(std::string_view word) const;

  const setup made_;
  std::vector<std::unique_ptr<shard>> shards_;
  std::vector<std::unique_ptr<shard_side>> sides_;
  std::map<proxy::pool_key, std::unique_ptr<scripted_pool>> pools_;
  std::shared_ptr<recovery> recovery_;
  std::vector<proxy::server_ptr> awaiting_cancel_;
  std::vector<cancelling> cancels_;
  std::unique_ptr<client> client_;
  std::weak_ptr<proxy::session> session_;
  trouble trouble_ = trouble::none;
  std::string kinds_;
  int trouble_at_ = 0, ended_ = 0, next_pid_ = 100;
  boost::asio::io_context own_io_{1};
};

// Without trouble, in pieces too, then each trouble at each step. `expect` looks at the first.
void walk(const setup&, const std::vector<turn>&, const std::function<void(world&)>& expect);

}  // namespace scripted
