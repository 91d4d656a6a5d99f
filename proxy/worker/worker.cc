#include "proxy/worker/worker.h"

#include <unistd.h>

#include <algorithm>
#include <tuple>

#include <boost/asio/dispatch.hpp>

#include "protocol/wire.h"
#include "proxy/config/log.h"
#include "proxy/net/crypto.h"
#include "proxy/net/run_handlers.h"
#include "proxy/session/session.h"
#include "proxy/shard/conversation.h"
#include "proxy/worker/worker_impl.h"

namespace proxy {

namespace asio = boost::asio;

namespace {

constexpr std::size_t max_pools = 1'000;
constexpr std::size_t console_places = 3;  // above max_clients
// As many may be logging in as may be logged in; where those are few, many may come at once all the same.
constexpr std::size_t may_arrive(std::size_t clients) { return std::max<std::size_t>(clients, 100); }
constexpr auto crowd_pause = std::chrono::seconds(10);
constexpr auto tick_time = std::chrono::milliseconds(100);
constexpr int ticks_a_second = 10;
constexpr auto cancel_time = std::chrono::seconds(5);
constexpr auto gathering_time = std::chrono::milliseconds(200);
constexpr auto stop_time = std::chrono::seconds(2);
constexpr auto retire_time = std::chrono::seconds(1);
// What clients are numbered: by the worker, then one after the other.
constexpr std::int32_t first_number = 5'000'000, numbers_per_worker = 8'000'000;
static_assert(first_number >= least_number);

constexpr std::int32_t first_of(int worker) noexcept { return first_number + worker * numbers_per_worker; }
constexpr int worker_of(std::int32_t number) noexcept { return number < first_number ? -1 : (number - first_number) / numbers_per_worker; }
static_assert(worker_of(first_of(255)) == 255);  // [proxy] workers

pool_limits limits_of(const config& settings) {
  pool_limits limits;
  limits.size = static_cast<std::size_t>(std::max(1, settings.pool_size));
  limits.least = static_cast<std::size_t>(std::max(0, settings.pool_min));
  limits.wait = settings.pool_wait;
  limits.connect_timeout = settings.connect_timeout;
  limits.lifetime = settings.pool_lifetime;
  limits.idle_timeout = settings.pool_idle_timeout;
  limits.check_after = settings.pool_check;
  limits.check_query = settings.pool_check_query;
  limits.last_used_first = settings.pool_order == "last_used";
  return limits;
}

void set_deadlines(deadline_list& deadlines, const config& settings) {
  deadlines.set(timed::statement, settings.query_timeout);
  deadlines.set(timed::obey, cancel_time);
  deadlines.set(timed::idle_in_transaction, settings.idle_in_transaction_timeout);
  deadlines.set(timed::transaction, settings.transaction_timeout);
  deadlines.set(timed::client_idle, settings.client_idle_timeout);
  deadlines.set(timed::question, settings.connect_timeout);
  deadlines.set(timed::server, settings.pool_wait);
  deadlines.set(timed::gathering, gathering_time);
}

}  // namespace

worker_impl::worker_impl(int number, const config& c, const users& u)
    : services(own_io, c, std::make_shared<const users>(u)), index(number), work(asio::make_work_guard(own_io)),
      serial_(protocol::load_int<std::int32_t>(random_bytes(sizeof(std::int32_t)).data()) & 0xfffff) {
  set_deadlines(deadlines, settings);
}

worker_impl::~worker_impl() { pools.clear(); }

// A CancelRequest carries nothing but number and key: the number says which worker. It is not used again before all others
// were, nor, as a rule, soon after a restart.
std::int32_t worker_impl::next_pid() {
  do {
    serial_ = (serial_ + 1) % numbers_per_worker;
  } while (sessions.contains(first_of(index) + serial_));
  return first_of(index) + serial_;
}

std::size_t worker_impl::client_limit() const noexcept {
  const auto workers = static_cast<std::size_t>(std::max(1, settings.workers));
  return (settings.max_clients + workers - 1) / workers;
}

bool worker_impl::has_place(bool console) const noexcept {
  return inside < client_limit() + (console ? console_places : 0);
}

void worker_impl::make_room() {
  if (arriving.size() < may_arrive(client_limit())) return;
  const auto pid = *arriving.next_to_go();
  arriving.gone(pid);
  sessions.at(pid)->make_room();
  if (clock::now() < crowd_told + crowd_pause) return;
  crowd_told = clock::now();
  log_warning("{} clients are logging in: the oldest of the network with most of them make room for others", may_arrive(client_limit()));
}

void worker_impl::adopt(int client_socket) {
  make_room();
  // Those who had to make room may not have gone yet.
  if (sessions.size() >= client_limit() + console_places + 2 * may_arrive(client_limit()) || stopping) {
    ::close(client_socket);
    return;
  }
  const auto client = std::make_shared<session>(*this, client_socket, next_pid());
  sessions.emplace(client->pid(), client.get());
  arriving.came(counted.clients_accepted, client->pid(), network_of_peer(client_socket));
  ++counted.clients_accepted;
  counted.clients_now = sessions.size();
  asio::co_spawn(io, client->run(), [](std::exception_ptr failure) { log_failure("session", failure); });
}

void worker_impl::session_ended(std::int32_t pid) {
  if (sessions.at(pid)->is_inside()) --inside;
  sessions.erase(pid);
  arriving.gone(pid);
  counted.clients_now = sessions.size();
  if (sessions.empty())
    for (auto* watcher : departure_watchers) watcher->notify();
}

void worker_impl::drop_unused_pools() {
  if (std::erase_if(pools, [](const auto& entry) { return entry.second->servers.unused(); }) > 0) ++pools_version;
}

// That of the same pool on other shards.
standard_ptr worker_impl::standard_for(const pool_key& key) const {
  auto first = key;
  first.shard = {};
  const auto other = pools.lower_bound(first);
  const bool same = other != pools.end() && std::tie(other->first.user, other->first.database, other->first.parameters) ==
                                                std::tie(key.user, key.database, key.parameters);
  return same ? other->second->keeper.standard() : std::make_shared<standard_settings>();
}

pool* worker_impl::find_or_make_pool(const pool_key& key, const credentials& secret) {
  const auto* shard = map->find_shard(key.shard);
  if (!shard) return nullptr;
  auto found = pools.find(key);
  if (found == pools.end()) {
    if (pools.size() >= max_pools) drop_unused_pools();
    if (pools.size() >= max_pools) return nullptr;
    auto& side = side_of(key.shard);
    found = pools.emplace(key, std::make_unique<shard_pool>(io, key, limits_of(settings), counted, side.desk, side, standard_for(key))).first;
    found->second->servers.set_paused(paused(key.database));
  }
  const bool standard = key.shard == map->default_shard();
  found->second->keeper.set_target(server_target{shard->name, shard->dsn, key.user, key.parameters, secret, settings.tcp, key.shard, pass, standard});
  return &found->second->servers;
}

// The shard signals whoever its connection serves when the cancel arrives: until then nobody else may have it.
void worker_impl::give_back(server_ptr server) {
  if (server->cancels.under_way > 0) {
    server->socket.listen(nullptr);
    awaiting_cancel_.push_back(std::move(server));
    return;
  }
  auto* home = server->home;
  home->release(std::move(server));
}

void worker_impl::cancel_on_server(server_connection& server) {
  ++server.cancels.under_way;
  asio::co_spawn(io, cancel_and_return(server), [](std::exception_ptr failure) { log_failure("cancel", failure); });
}

task<void> worker_impl::cancel_and_return(server_connection& server) {
  const auto serial = server.serial;
  const auto* home = server.home;
  const auto is_it = [=](const server_connection& one) { return one.serial == serial && one.home == home; };
  const auto to = server.cancels;
  co_await send_cancel(io, to.address, to.tls, to.key, clock::now() + cancel_time);
  const auto parked = std::find_if(awaiting_cancel_.begin(), awaiting_cancel_.end(), [&](const auto& one) { return is_it(*one); });
  if (parked != awaiting_cancel_.end()) {
    auto mine = std::move(*parked);
    awaiting_cancel_.erase(parked);
    --mine->cancels.under_way;
    co_return give_back(std::move(mine));
  }
  for (const auto& [pid, client] : sessions)
    if (auto* kept = client->holding(home, serial)) --kept->cancels.under_way;
}

void worker_impl::reset_and_give_back(server_ptr server) {
  const bool possible = (server->pinned & ~discardable) == 0 && !server->unusable && server->cancels.under_way == 0 && !draining;
  if (possible) return asio::co_spawn(io, reset_and_return(std::move(server)), [](std::exception_ptr failure) { log_failure("DISCARD ALL", failure); });
  auto* home = server->home;
  home->discard(std::move(server));
}

task<void> worker_impl::reset_and_return(server_ptr server) {
  wakeup wake(io);
  server->socket.listen(&wake);
  const auto how = co_await run_alone(*server, "DISCARD ALL", wake, clock::now() + settings.connect_timeout);
  server->socket.listen(nullptr);
  server->unusable = how != conversation::ending::answered;
  if (!server->unusable) server->forget_client();
  auto* home = server->home;
  home->release(std::move(server));
}

// Does that to a client, on the thread of its worker.
void worker_impl::reach(std::int32_t number, auto what) {
  const auto owner = worker_of(number);
  if (owner != index) {
    if (owner < 0 || static_cast<std::size_t>(owner) >= peers.size()) return;
    auto& state = peers[static_cast<std::size_t>(owner)]->state();
    return asio::post(state.io, [&state, number, what = std::move(what)] { state.reach(number, what); });
  }
  const auto found = sessions.find(number);
  if (found != sessions.end()) what(*found->second);
}

void worker_impl::cancel(protocol::cancel_request request) {
  reach(request.pid, [key = std::move(request.key)](session& one) { one.cancel(key); });
}

void worker_impl::signal(std::int32_t number, process_signal what) {
  reach(number, [what](session& one) { one.obey_signal(what); });
}

void worker_impl::touching_transaction_ended() {
  for (auto* watcher : drain_watchers) watcher->notify();
}

void worker_impl::tick() {
  refresh_permits();
  deadlines.tick(clock::now());
  counted.sockets_overlooked += sweep.visit();
}

void worker_impl::reconfigure(const config& fresh, std::shared_ptr<const users> known) {
  settings = fresh;
  accounts = std::move(known);
  set_deadlines(deadlines, settings);
  for (auto& [key, one] : pools) {
    one->servers.set_limits(limits_of(settings));
    one->keeper.look_again();
    one->servers.doubt_login();
  }
  for (auto& [shard, home] : homes) home->ledger.set_rules(rules_of(settings));
  for (const auto& [shard, home] : homes) settle_permits(shard);
}

void worker_impl::retire(const std::string& why) {
  retired = make_error(sqlstate::admin_shutdown, "terminating connection: this pgrotor must not serve any more", why, "Connect again.");
  draining = true;
  for (const auto& [pid, client] : sessions) client->leave_when_idle();
}

void worker_impl::send_off() {
  for (const auto& [pid, client] : sessions) client->leave_told();
}

bool worker_impl::paused(const std::string& database) const { return paused_all || paused_databases.contains(database); }

// An empty name means all of them; RESUME of all also resumes those paused by name.
void worker_impl::obey(pool_command what, const std::string& database) {
  const bool all = database.empty();
  const bool pauses = what == pool_command::pause || what == pool_command::kill;
  if (pauses) all ? (void)(paused_all = true) : (void)paused_databases.insert(database);
  if (what == pool_command::resume) all ? (void)(paused_all = false, paused_databases.clear()) : (void)paused_databases.erase(database);
  for (auto& [key, one] : pools) {
    if (!all && key.database != database) continue;
    one->servers.set_paused(paused(key.database));
    if (what != pool_command::resume) one->servers.reconnect();
  }
  if (what != pool_command::kill) return;
  for (const auto& [pid, client] : sessions)
    if (client->database() == database) client->kill();
}

bool worker_impl::quiet(const std::string& database) const {
  return std::all_of(pools.begin(), pools.end(), [&](const auto& entry) {
    const bool meant = database.empty() || entry.first.database == database;
    return !meant || !paused(entry.first.database) || entry.second->servers.total() == 0;
  });
}

void worker_impl::tick_second() {
  for (auto& [key, one] : pools) one->servers.tick(clock::now());
  if (pools.size() > max_pools / 2) drop_unused_pools();
}

namespace {

// Also keeps a timer armed that is earlier than the waits without deadline, which then cost no system call.
task<void> tick_forever(worker_impl& w) {
  asio::steady_timer timer(w.io);
  for (int ticks = 1; !w.stopping; ++ticks) {
    timer.expires_after(tick_time);
    co_await timer.async_wait(asio::use_awaitable);
    try {
      w.tick();
      if (ticks % ticks_a_second == 0) w.tick_second();
    } catch (...) {
      log_failure("worker: tick", std::current_exception());  // the next one comes all the same
    }
  }
}

task<void> wait_for_departures(worker_impl& w, clock::time_point deadline) {
  wakeup wake(w.io);
  w.departure_watchers.push_back(&wake);
  bool in_time = true;
  while (!w.sessions.empty() && in_time) in_time = co_await wake.wait(deadline);
  std::erase(w.departure_watchers, &wake);
}

task<void> drain_here(worker_impl& w) {
  w.draining = true;
  for (const auto& [pid, client] : w.sessions) client->leave_when_idle();
  co_await wait_for_departures(w, clock::now() + (w.retired ? retire_time : w.settings.drain_timeout));
  w.send_off();
  co_await wait_for_departures(w, clock::now() + stop_time);
}

task<void> stop_here(worker_impl& w) {
  w.draining = w.stopping = true;
  for (const auto& [pid, client] : w.sessions) client->leave_now();
  co_await wait_for_departures(w, clock::now() + stop_time);
  w.pools.clear();
  w.work.reset();
  w.io.stop();
}

task<void> reconfigure_here(worker_impl& w, std::shared_ptr<const config> fresh, std::shared_ptr<const users> known) {
  w.reconfigure(*fresh, std::move(known));
  co_return;
}

task<void> obey_here(worker_impl& w, pool_command what, std::string database) {
  w.obey(what, database);
  co_return;
}

task<void> wait_until_quiet(worker_impl& w, std::string database) {
  asio::steady_timer timer(w.io);
  while (!w.quiet(database) && !w.stopping) {
    timer.expires_after(tick_time / 2);
    co_await timer.async_wait(asio::use_awaitable);
  }
}

task<counters> counters_here(worker_impl& w) {
  auto copy = w.counted;
  copy.plan_hits = w.plans.hits();
  copy.plan_misses = w.plans.misses();
  co_return copy;
}

}  // namespace

worker::worker(int index, const config& settings, const users& accounts) : impl_(std::make_unique<worker_impl>(index, settings, accounts)) {}

worker::~worker() { stop_and_join(); }

void worker::set_console(console& commands) { impl_->commands = &commands; }
void worker::set_names(std::shared_ptr<migration::prepared_names> names) { impl_->shared.names = std::move(names); }
void worker::set_recoverer(std::shared_ptr<migration::commit_recovery> one) { impl_->shared.recovery = std::move(one); }
void worker::set_processes(std::shared_ptr<process_book> one) { impl_->shared.processes = std::move(one); }
void worker::set_barrier(std::shared_ptr<commit_barrier> one) { impl_->shared.barrier = std::move(one); }
void worker::set_peers(std::span<const std::unique_ptr<worker>> peers) { impl_->peers = peers; }
int worker::index() const noexcept { return impl_->index; }
asio::io_context& worker::context() noexcept { return impl_->io; }

void worker::start() {
  asio::co_spawn(impl_->io, tick_forever(*impl_), [](std::exception_ptr failure) { log_failure("worker", failure); });
  impl_->thread = std::thread([this] { run_handlers(impl_->io, fmt::format("worker {}", impl_->index)); });
}

void worker::offer_tls(std::shared_ptr<const tls_context> offered) {
  asio::post(impl_->io, [state = impl_.get(), offered = std::move(offered)]() mutable { state->client_tls = std::move(offered); });
}

migration::task<void> worker::drain() { return run_on(*this, drain_here(*impl_)); }

void worker::retire(std::string why) {
  asio::post(impl_->io, [state = impl_.get(), why = std::move(why)] { state->retire(why); });
}

void worker::stop_and_join() {
  if (!impl_->thread.joinable()) return;
  asio::co_spawn(impl_->io, stop_here(*impl_), [](std::exception_ptr failure) { log_failure("stop", failure); });
  impl_->thread.join();
}

void worker::adopt(int client) {
  asio::dispatch(impl_->io, [state = impl_.get(), client] { state->adopt(client); });
}

migration::task<void> worker::reconfigure(std::shared_ptr<const config> fresh, std::shared_ptr<const users> known) {
  return run_on(*this, reconfigure_here(*impl_, std::move(fresh), std::move(known)));
}

migration::task<void> worker::obey(pool_command what, std::string database) {
  return run_on(*this, obey_here(*impl_, what, std::move(database)));
}

migration::task<void> worker::quiet(std::string database) { return run_on(*this, wait_until_quiet(*impl_, std::move(database))); }

migration::task<counters> worker::read_counters() { return run_on(*this, counters_here(*impl_)); }

}  // namespace proxy
