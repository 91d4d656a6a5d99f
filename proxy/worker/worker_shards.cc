// A shard between workers: permits lent and recalled (permit_ledger.h), and news of its health (shard_health.h). The home of a shard is
// one worker, the same for all. Declared in proxy/worker/worker_impl.h and proxy/worker/shard_side.h.
#include <fmt/format.h>

#include <boost/asio/post.hpp>

#include "proxy/config/log.h"
#include "proxy/worker/worker_impl.h"

namespace proxy {

namespace asio = boost::asio;

permit_rules rules_of(const config& settings) {
  const auto count = [](int value) { return static_cast<std::size_t>(std::max(0, value)); };
  return {std::max<std::size_t>(1, count(settings.pool_size)), count(settings.pool_reserve), count(settings.pool_max_per_shard),
          count(settings.pool_min), settings.pool_reserve_wait};
}

namespace {

// One that starts or stops says so itself (57P03).
protocol::notice as_down(const server_target& tried, const protocol::notice& why) {
  if (why.sqlstate == sqlstate::cannot_connect_now) return why;
  return make_error(sqlstate::connection_failure, fmt::format("shard {} cannot be reached", tried.shard_name),
                    why.detail.empty() ? why.message : why.detail, "It is tried again in the background; retry.");
}

}  // namespace

worker_impl& worker_impl::home_of(routing::shard_id shard) {
  return peers.empty() ? *this : peers[shard.value % peers.size()]->state();
}

shard_side& worker_impl::side_of(routing::shard_id shard) {
  auto found = sides.find(shard);
  if (found == sides.end()) found = sides.emplace(shard, std::make_unique<shard_side>(*this, shard)).first;
  return *found->second;
}

shard_home& worker_impl::home_here(routing::shard_id shard) {
  auto found = homes.find(shard);
  if (found == homes.end()) found = homes.emplace(shard, std::make_unique<shard_home>(rules_of(settings))).first;
  return *found->second;
}

void worker_impl::on_each(auto what) {
  if (peers.empty()) return asio::post(io, [this, what] { what(*this); });
  for (const auto& peer : peers) {
    auto& state = peer->state();
    asio::post(state.io, [&state, what] { what(state); });
  }
}

void worker_impl::settle_permits(routing::shard_id shard) {
  for (const auto& order : home_here(shard).ledger.settle(clock::now())) {
    auto& to = peers.empty() ? *this : peers[static_cast<std::size_t>(order.worker)]->state();
    asio::post(to.io, [&to, shard, order] { to.side_of(shard).desk.obey(order); });
  }
}

void shard_side::send_want(const permit_owner& owner, permit_want wanted) {
  auto& home = w_.home_of(shard_);
  asio::post(home.io, [&home, from = w_.index, shard = shard_, owner, wanted] {
    home.home_here(shard).ledger.want(from, owner, wanted);
    home.settle_permits(shard);
  });
}

void shard_side::send_give_back(const permit_owner& owner) {
  auto& home = w_.home_of(shard_);
  asio::post(home.io, [&home, from = w_.index, shard = shard_, owner] {
    home.home_here(shard).ledger.give_back(from, owner);
    home.settle_permits(shard);
  });
}

// Down here at once, so that nobody waits for a second time-out while the news travels; the home tells when it is over.
void shard_side::failed(const protocol::notice& why, const server_target& tried) {
  set_down(as_down(tried, why));
  auto& home = w_.home_of(shard_);
  asio::post(home.io, [&home, shard = shard_, why, tried] { home.shard_failed(shard, why, tried); });
}

void shard_side::set_down(std::optional<protocol::notice> why) {
  down_ = std::move(why);
  for (auto& [key, one] : w_.pools)
    if (key.shard == shard_) one->servers.shard_changed();
}

void worker_impl::shard_failed(routing::shard_id shard, const protocol::notice& why, const server_target& tried) {
  auto& home = home_here(shard);
  home.probe_as = tried;
  if (!home.health.failed()) return;
  ++counted.shard_outages;
  ++counted.shards_down_now;
  log_error("shard {}: down: {}", tried.shard_name, why.detail.empty() ? why.message : why.detail);
  on_each([shard, down = as_down(tried, why)](worker_impl& w) { w.side_of(shard).set_down(down); });
  asio::co_spawn(io, probe_until_back(shard), [](std::exception_ptr failure) { log_failure("probing a shard", failure); });
}

// The address may have changed meanwhile, or the shard may have gone from the map.
task<void> worker_impl::probe_until_back(routing::shard_id shard) {
  auto& home = home_here(shard);
  asio::steady_timer pause(io);
  wakeup wake(io);
  while (!stopping && home.health.now() != shard_health::state::answering) {
    pause.expires_after(home.health.pause());
    co_await pause.async_wait(asio::use_awaitable);
    const auto* known = map ? map->find_shard(shard) : nullptr;
    auto target = home.probe_as;
    if (known) target.dsn = known->dsn;
    home.health.probe();
    ++counted.shard_probes;
    const auto tried = co_await open_server(io, target, wake, clock::now() + settings.connect_timeout);
    if (known && tried.unreachable) home.health.probe_failed();
    else home.health.probe_answered();
  }
  if (stopping) co_return;
  --counted.shards_down_now;
  log_warning("shard {}: answers again", home.probe_as.shard_name);
  on_each([shard](worker_impl& w) { w.side_of(shard).set_down(std::nullopt); });
}

// Ten times a second: what waits is told to the homes, whose ledgers also watch the time.
void worker_impl::refresh_permits() {
  for (auto& [shard, side] : sides) side->desk.refresh();
}

}  // namespace proxy
