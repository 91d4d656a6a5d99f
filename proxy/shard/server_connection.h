// One connection to a shard, logged in as a client's own user. Lives in a pool; while attached it belongs to one session, which reads
// and writes its buffers and queues what it expects in `answers`. Worker's thread only.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "migration/plan/gates.h"
#include "protocol/backend.h"
#include "protocol/scram.h"
#include "proxy/config/tcp_options.h"
#include "proxy/net/byte_queue.h"
#include "proxy/net/stream.h"
#include "proxy/shard/server_tls.h"
#include "proxy/state/prepared.h"
#include "proxy/state/settings.h"
#include "proxy/state/sql_statements.h"
#include "proxy/shard/exchange.h"
#include "proxy/shard/process_book.h"
#include "routing/analysis/plan.h"
#include "routing/map/types.h"

namespace proxy {

class pool;

// Where a connection is in its life. Its pool alone moves it on, by one setter, and knows how many are where.
enum class server_status {
  opening,  // it is logging in
  idle,     // in its pool, watched
  given,    // to the first in the queue, who has not fetched it yet
  in_use,   // a session's, or the worker's, which resets it or waits for a cancel to arrive
  asked,    // something by its pool: before a session gets it, or after one has given it back
  closed,
};
inline constexpr std::size_t server_statuses = 6;
constexpr std::string_view to_string(server_status one) noexcept {
  constexpr std::array<std::string_view, server_statuses> names{"opening", "idle", "given", "in use", "asked", "closed"};
  return names[static_cast<std::size_t>(one)];
}
constexpr unsigned as_bit(server_status one) noexcept { return 1u << static_cast<unsigned>(one); }
template <server_status... those>
inline constexpr unsigned any_of_status = (as_bit(those) | ...);
// What may follow each.
inline constexpr std::array<unsigned, server_statuses> next_statuses{
    any_of_status<server_status::idle, server_status::given, server_status::closed>,                         // opening
    any_of_status<server_status::in_use, server_status::closed>,                                             // idle
    any_of_status<server_status::in_use, server_status::closed>,                                             // given, else closed
    any_of_status<server_status::idle, server_status::given, server_status::asked, server_status::closed>,   // in use
    any_of_status<server_status::idle, server_status::given, server_status::in_use, server_status::closed>,  // asked
    0,                                                                                                       // closed
};
constexpr bool may_become(server_status from, server_status to) noexcept {
  return (next_statuses[static_cast<std::size_t>(from)] & as_bit(to)) != 0;
}

inline constexpr std::size_t most_parameters = 200;  // that are kept of what a server reports; PostgreSQL has about fifteen

// How a user proves to a shard who it is: with the password, else with the keys its own login at the proxy revealed.
struct credentials {
  std::optional<std::string> password;
  std::optional<protocol::scram_keys> keys;
};

// Where and as whom to log in.
struct server_target {
  std::string shard_name, dsn;  // libpq keyword/value string: host, hostaddr, port, dbname
  std::string user;
  text_pairs parameters;  // startup parameters besides user and database
  credentials secret;
  tcp_options tcp;
  routing::shard_id shard;
  migration::term_pass pass;  // that it is this shard is asked before anything else
  bool standard = false;  // the default shard: what its sessions start with, those of all shards start with
};

// Where a CancelRequest for a connection goes, with which key, and how many are on their way.
struct cancel_route {
  protocol::backend_key_data key;
  boost::asio::generic::stream_protocol::endpoint address;
  tls_target tls;  // without context: the connection is not encrypted
  int under_way = 0;
};

class server_connection final : public readiness_listener {
 public:
  explicit server_connection(boost::asio::io_context& io) : socket(io) {}

  stream socket;
  byte_queue in;
  std::string out;  // to be sent; [out_at, end) is not yet
  std::size_t out_at = 0;
  exchange answers;
  server_statements statements;
  text_pairs parameters;  // ParameterStatus at login
  name_values_ptr reported;  // ... and now
  settings_ptr applied;                        // what sessions have made, see proxy/state/settings.h
  routing::state_bits pinned = 0;              // why it must stay with its session
  sql_statements sql;                          // of the client that it is pinned to
  std::shared_ptr<process_book::server> process;  // what clients are told of it; none: no session has had it yet
  std::int32_t sequences_of = 0;               // the client whose nextval it may remember; 0: nobody's, -1: several clients'
  cancel_route cancels;

  pool* home = nullptr;
  routing::shard_id shard;
  std::string shard_name;
  std::uint64_t serial = 0;  // tells connections of one pool apart, also after they are gone
  clock::time_point opened, idle_since;
  bool must_write = false; // a read-only server is not what its shard's DSN asks for
  bool unusable = false;   // must not serve another transaction
  bool leaving = false;    // ... but of the client that it is pinned to
  bool reprepare = false;  // its prepared statements are to be made anew before the next one

  // Sends what is queued.
  io_result flush();
  // The same for bytes that need no queue unless the shard is slow; they come behind what is queued.
  void send(std::string_view bytes);
  // A simple query of the proxy's own; `answers` captures what comes of it.
  void ask(std::string_view text);
  // ... that the client is not to see: it goes in front of what the client's needs.
  void put_in(std::string_view text);
  bool output_pending() const noexcept { return out_at < out.size(); }
  server_status status() const noexcept { return status_; }

  void forget_client();      // after DISCARD ALL
  void on_ready() override;  // while idle: the shard said something or closed; in pool.cc

 private:
  friend class pool;
  server_status status_ = server_status::opening;
};
using server_ptr = std::unique_ptr<server_connection>;

struct open_result {
  server_ptr server;
  protocol::notice failed;   // when there is no server
  bool unreachable = false;  // nobody can log in there at the moment
};
// Connects and logs in. `wake` is the caller's, for the time of the call.
task<open_result> open_server(boost::asio::io_context&, const server_target&, wakeup& wake, clock::time_point deadline);

// Asks the shard to cancel what the connection with that key runs; completes when the shard has closed the request's connection,
// which it does after it has signalled. Encrypted when the connection itself is.
task<void> send_cancel(boost::asio::io_context&, boost::asio::generic::stream_protocol::endpoint, tls_target, protocol::backend_key_data,
                       clock::time_point deadline);

}  // namespace proxy
