#include "scripted_pools.h"

#include <algorithm>

#include <boost/asio/co_spawn.hpp>
#include <doctest/doctest.h>

#include "proxy/shard/conversation.h"

namespace scripted {

namespace {

proxy::pool_limits usual_limits() {
  proxy::pool_limits limits;
  limits.size = 5;
  limits.wait = limits.connect_timeout = std::chrono::seconds(5);
  return limits;
}

std::string settings_of(const proxy::server_connection& server) {
  std::string all;
  if (server.applied)
    for (const auto& [name, value] : server.applied->values()) all += (all.empty() ? "" : " ") + name + "=" + value;
  return all;
}

}  // namespace

scripted_pool::scripted_pool(world& w, const proxy::pool_key& key, shard_side& side, shard& of)
    : all(w), where(of), servers(w.io, key, usual_limits(), w.counted, side.desk, side, *this) {}

// As shard_keeper's, which listens to a socket. Whoever gets it next must find it as it was made.
bool scripted_pool::watch(proxy::server_connection& server) {
  server.socket.listen(&server);
  if (server.socket.readable()) {
    if (!server.socket.quiet()) return false;
    server.socket.not_readable();
  }
  server.socket.watch_read();
  const auto& there = all.connection_of(server);
  CHECK_MESSAGE(there.unfit() == "", "shard ", where.name, ": given back although it ", there.unfit());
  CHECK(there.settings() == settings_of(server));
  return true;
}

bool scripted_pool::quiet(proxy::server_connection& server, bool just_used) { return (just_used && !server.socket.readable()) || server.socket.quiet(); }

bool scripted_pool::hold(proxy::server_connection& server) {
  server.socket.listen(nullptr);
  return true;
}

proxy::pool* world::find_or_make_pool(const proxy::pool_key& key, const proxy::credentials&) {
  auto& found = pools_[key];
  if (found) return &found->servers;
  found = std::make_unique<scripted_pool>(*this, key, *sides_.at(key.shard.value - 1), at(key.shard.value));
  if (!made_.asks_triggers) found->servers.note_triggers(false, proxy::clock::now() + std::chrono::hours(1));
  return &found->servers;
}

// One login that was asked for.
bool world::log_in(scripted_pool& into) {
  if (into.opening == 0) return false;
  --into.opening;
  const auto what = next_step('l');
  proxy::open_result result;
  if (what == fault::refused || what == fault::lost_before) {
    result.unreachable = what == fault::lost_before;
    result.failed = proxy::make_error(result.unreachable ? "08006" : "28000", "no login");
    return into.servers.opened(std::move(result)), true;
  }
  const auto wire = std::make_shared<line>();
  wire->piece = made_.piece;
  result.server = std::make_unique<proxy::server_connection>(io);
  auto& server = *result.server;
  server.socket.go_through(std::make_unique<near_end>(wire));
  server.shard_name = into.where.name;
  server.cancels.key.pid = ++next_pid_;
  server.parameters = {{"server_version", "17.2"}, {"server_encoding", "UTF8"}, {"client_encoding", "UTF8"}, {"application_name", ""},
                       {"standard_conforming_strings", "on"}, {"TimeZone", "UTC"}};
  server.opened = server.idle_since = proxy::clock::now();
  into.where.connections.push_back(std::make_unique<shard_connection>(into.where, wire, server.cancels.key.pid));
  into.servers.opened(std::move(result));
  return true;
}

shard_connection& world::connection_of(const proxy::server_connection& server) {
  for (const auto& one : shards_)
    for (const auto& each : one->connections)
      if (each->pid == server.cancels.key.pid) return *each;
  throw std::logic_error("no such connection");
}

// As the worker does with a cancel (worker.cc): until it has arrived, nobody else may have the server.
void world::give_back(proxy::server_ptr server) {
  if (server->cancels.under_way > 0) return server->socket.listen(nullptr), awaiting_cancel_.push_back(std::move(server));
  auto* home = server->home;
  home->release(std::move(server));
}

void world::cancel_on_server(proxy::server_connection& server) {
  ++server.cancels.under_way;
  cancels_.push_back({server.home, server.serial, &connection_of(server)});
}

bool world::cancels_arrive() {
  const auto all = std::exchange(cancels_, {});
  for (const auto& each : all) {
    if (each.to->waits()) each.to->cancel();
    const auto found = std::ranges::find_if(awaiting_cancel_, [&](const auto& one) { return one->home == each.home && one->serial == each.serial; });
    if (found != awaiting_cancel_.end()) {
      auto server = std::move(*found);
      awaiting_cancel_.erase(found);
      --server->cancels.under_way;
      give_back(std::move(server));
    } else if (auto* kept = session() ? session()->holding(each.home, each.serial) : nullptr) {
      --kept->cancels.under_way;
    }
  }
  return !all.empty();
}

void world::reset_and_give_back(proxy::server_ptr server) {
  const bool possible = (server->pinned & ~proxy::discardable) == 0 && !server->unusable && server->cancels.under_way == 0;
  if (possible) return boost::asio::co_spawn(io, reset_and_return(std::move(server)), [](const std::exception_ptr& failure) { CHECK(failure == nullptr); });
  auto* home = server->home;
  home->discard(std::move(server));
}

proxy::task<void> world::reset_and_return(proxy::server_ptr server) {
  proxy::wakeup wake(io);
  server->socket.listen(&wake);
  const auto how = co_await proxy::run_alone(*server, "DISCARD ALL", wake, proxy::clock::time_point::max());
  server->unusable = how != proxy::conversation::ending::answered;
  if (!server->unusable) server->forget_client();
  auto* home = server->home;
  home->release(std::move(server));
}

}  // namespace scripted
