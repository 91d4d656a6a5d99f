// A client that asked for replication (manual 55.4) has a server of its own on the default shard, outside of the pools: bytes go both
// ways as they come until either side closes. Declared in proxy/session/session.h.
#include <boost/asio/post.hpp>

#include "proxy/session/session.h"

namespace proxy {

task<void> session::serve_replication() {
  const bool opened = co_await open_replication();
  if (!opened) co_return;
  w_.shared.processes->enter_client(pid_, user_);
  tell_parameters(with_name(here_.server->parameters));
  unit_open_ = true;  // a CancelRequest is for whatever runs
  for (int rounds = 1; !closing_; ++rounds) {
    const bool moved = relay_replication();
    // Nobody knows where in a message either side is: what ends this can only close it.
    if (leaving_ || killed_) closing_ = true;
    if (closing_) break;
    if (!moved) {
      if (client_output_pending()) client_.watch_write();
      else here_.server->socket.watch_read();
      if (here_.server->output_pending()) here_.server->socket.watch_write();
      else client_.watch_read();
      co_await wake_.wait();
    }
    if (rounds % rounds_in_a_row == 0) co_await boost::asio::post(w_.io, boost::asio::use_awaitable);
  }
}

task<bool> session::open_replication() {
  const auto* shard = w_.map ? w_.map->find_shard(w_.map->default_shard()) : nullptr;
  if (!shard) {
    fatal(make_error(sqlstate::cannot_connect_now, "pgrotor has no routing map yet", "The catalog has not been read.", "Retry."));
    co_return false;
  }
  server_target target{shard->name, shard->dsn, user_, parameters_, secret_, w_.settings.tcp, shard->id, {}};
  target.parameters.emplace_back("application_name", application_);  // synchronous_standby_names knows standbys by it
  auto opened = co_await open_server(w_.io, target, wake_, clock::now() + w_.settings.connect_timeout);
  if (!opened.server) {
    ++w_.counted.servers_failed;
    fatal(std::move(opened.failed));
    co_return false;
  }
  ++w_.counted.servers_opened;
  ++w_.counted.servers_now;
  here_.server = std::move(opened.server);
  here_.server->serial = static_cast<std::uint64_t>(pid_);
  here_.server->socket.listen(&wake_);
  co_return true;
}

// True when bytes moved.
bool session::relay_replication() {
  bool moved = flush_client();
  if (here_.server->output_pending() && here_.server->flush().bytes > 0) moved = true;
  if (!client_output_pending() && here_.server->socket.readable()) {
    const auto got = here_.server->socket.read(here_.server->in);
    here_.passed = here_.server->in.size();
    moved = moved || got.bytes > 0;
    if (got.closed) closing_ = true;  // the client gets what has come
  }
  if (!here_.server->output_pending() && read_client()) {
    here_.server->out.append(in_.view());
    in_.consume(in_.size());
    here_.server->flush();
    moved = true;
  }
  return moved;
}

}  // namespace proxy
