// Rows of SHOW CLIENTS, SERVERS and POOLS, in PgBouncer's terms where it has them. Declared in proxy/worker/worker.h.
#include <fmt/format.h>

#include "migration/shard/prepare.h"
#include "proxy/config/errors.h"
#include "proxy/session/session.h"
#include "proxy/worker/worker.h"
#include "proxy/worker/worker_impl.h"

namespace proxy {

namespace {

using row = std::vector<std::optional<std::string>>;

migration::answer clients(const worker_impl& w) {
  migration::answer table;
  table.columns = worker_columns::clients;
  for (const auto& [pid, client] : w.sessions) table.rows.push_back(client->describe());
  return table;
}

row server_row(const pool_key& from, const server_connection& server, clock::time_point now) {
  const auto* state = server.status() == server_status::idle ? "idle" : server.pinned != 0 ? "pinned" : "active";
  const auto age = std::chrono::duration_cast<std::chrono::seconds>(now - server.opened).count();
  return {from.user, from.database, server.shard_name, state, std::to_string(server.cancels.key.pid), std::to_string(age),
          std::to_string(server.statements.size()), server.socket.tls_version(), server.pinned != 0 ? std::optional(std::to_string(server.process->client)) : std::nullopt,
          server.pinned != 0 ? std::optional(pins_text(server.pinned)) : std::nullopt};
}

migration::answer servers(const worker_impl& w) {
  migration::answer table;
  table.columns = worker_columns::servers;
  const auto now = clock::now();
  for (const auto& [key, one] : w.pools) {
    for (const auto* server : one->servers.open_servers()) table.rows.push_back(server_row(key, *server, now));
  }
  return table;
}

// Why the shard cannot be reached; null when it can.
std::optional<std::string> down_text(const worker_impl& w, routing::shard_id shard) {
  const auto side = w.sides.find(shard);
  const auto* why = side == w.sides.end() ? nullptr : side->second->down();
  return why ? std::optional(why->detail) : std::nullopt;
}

// The startup parameters with which it does as the default shard does; null when it needs none.
std::optional<std::string> made_equal(const shard_keeper& one) {
  std::string text;
  for (const auto& [name, value] : one.made_equal()) text += fmt::format("{}{} = {}", text.empty() ? "" : ", ", name, quoted_literal(value));
  return text.empty() ? std::nullopt : std::optional(text);
}

migration::answer pools(const worker_impl& w) {
  migration::answer table;
  table.columns = worker_columns::pools;
  for (const auto& [key, one] : w.pools) {
    const auto* shard = w.map ? w.map->find_shard(key.shard) : nullptr;
    table.rows.push_back({key.user, key.database, shard ? shard->name : std::to_string(key.shard.value), std::to_string(one->servers.waiting()),
                          std::to_string(one->servers.active()), std::to_string(one->servers.idle()), std::to_string(one->servers.opening()),
                          std::to_string(one->servers.longest_wait().count()), std::string(to_string(w.settings.pool_mode)), one->servers.paused() ? "1" : "0", down_text(w, key.shard),
                          made_equal(one->keeper), one->keeper.unequal().empty() ? std::nullopt : std::optional(fmt::format("{}", fmt::join(one->keeper.unequal(), "; ")))});
  }
  return table;
}

task<load> load_here(worker_impl& w) {
  load read;
  const auto name = [&w](routing::shard_id id) {
    const auto* shard = w.map ? w.map->find_shard(id) : nullptr;
    return shard ? shard->name : std::string();
  };
  for (const auto& [key, one] : w.pools) {
    const pool_load now{one->servers.active(), one->servers.idle(), one->servers.opening(), one->servers.waiting()};
    if (const auto shard = name(key.shard); !shard.empty()) read.add(shard, key.user, key.database, now);
  }
  for (const auto& [id, side] : w.sides)
    if (const auto shard = name(id); side->down() && !shard.empty()) read.down.insert(shard);
  co_return read;
}

task<migration::answer> show_here(worker_impl& w, std::string what) {
  if (what == "CLIENTS") co_return clients(w);
  if (what == "SERVERS") co_return servers(w);
  if (what == "POOLS") co_return pools(w);
  throw std::invalid_argument(fmt::format("a worker cannot show {}", what));
}

}  // namespace

migration::task<migration::answer> worker::show(std::string what) { return run_on(*this, show_here(*impl_, std::move(what))); }

migration::task<load> worker::read_load() { return run_on(*this, load_here(*impl_)); }

}  // namespace proxy
