// What the coordinator asks of all workers at once (migration/plan/gates.h): each call runs a coroutine on every worker's thread and
// completes when all of them have. Declared in proxy/gate/gate.h.
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/this_coro.hpp>

#include <algorithm>
#include <stdexcept>

#include "proxy/config/log.h"
#include "proxy/gate/gate.h"
#include "proxy/session/session.h"
#include "proxy/worker/worker.h"
#include "proxy/worker/worker_impl.h"

namespace proxy {

namespace asio = boost::asio;
using migration::milliseconds;

namespace {

// Runs all tasks at the same time. The results in their order; the first failure is thrown when all are through.
template <typename T>
task<std::vector<T>> all_of(std::vector<task<T>> tasks) {
  struct state {
    explicit state(asio::any_io_executor on, std::size_t count) : done(on), left(count), results(count) {}
    asio::steady_timer done;
    std::size_t left;
    std::vector<T> results;
    std::exception_ptr failure;
  };
  const auto on = co_await asio::this_coro::executor;
  const auto shared = std::make_shared<state>(on, tasks.size());
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    asio::co_spawn(on, std::move(tasks[i]), [shared, i](std::exception_ptr failure, T result) {
      if (failure) shared->failure = failure;
      else shared->results[i] = std::move(result);
      if (--shared->left == 0) shared->done.cancel();
    });
  }
  while (shared->left > 0) {
    shared->done.expires_at(clock::time_point::max());
    boost::system::error_code ignored;
    co_await shared->done.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
  if (shared->failure) std::rethrow_exception(shared->failure);
  co_return std::move(shared->results);
}

template <typename T, typename Make>
task<std::vector<T>> on_all(std::span<const std::unique_ptr<worker>> workers, Make make) {
  std::vector<task<T>> tasks;
  for (const auto& one : workers) tasks.push_back(run_on(*one, make(one->state())));
  return all_of(std::move(tasks));
}

task<bool> announce_here(worker_impl& w, migration::moving_set set) {
  const auto id = set.id;
  const auto bit = w.gate.add(std::move(set));
  if (!bit) co_return false;
  ++w.routing_version;
  const auto* known = w.gate.known(id);
  // A statement over several shards that is on its way was placed as if nothing moved: it takes its snapshots first.
  asio::steady_timer pause(w.io);
  while (w.gate.snapshots_under_way()) {
    pause.expires_after(std::chrono::milliseconds(1));
    co_await pause.async_wait(asio::use_awaitable);
  }
  known = w.gate.known(id);
  if (!known) co_return true;
  // Restricted first: what is open on the source from before may have touched the set without anybody having noted it.
  for (const auto& [pid, client] : w.sessions) client->touch_if_attached(known->source, w.gate.bit_of(id));
  co_return true;
}

task<bool> warm_here(worker_impl& w, std::uint64_t set, clock::time_point deadline) {
  const auto* known = w.gate.known(set);
  if (!known || !w.map) co_return true;
  const auto source = known->source, target = known->target;
  std::vector<std::pair<pool_key, std::size_t>> wanted;
  for (const auto& [key, one] : w.pools)
    if (key.shard == source) wanted.emplace_back(key, one->servers.total());
  for (auto& [key, count] : wanted) {
    const auto from = w.pools.find(key);
    if (from == w.pools.end()) continue;
    key.shard = target;
    if (auto* to = w.find_or_make_pool(key, from->second->keeper.secret())) co_await to->warm(count, deadline);
  }
  co_return true;
}

void report_blockers(worker_impl& w, std::uint64_t set) {
  for (const auto& [pid, client] : w.sessions)
    if ((client->touched() & w.gate.bit_of(set)) != 0) w.held.blame(set, pid);
}

void open_gate(worker_impl& w, std::uint64_t set) {
  w.gate.open(set);
  ++w.routing_version;
  w.release_held();
}

bool begin_closing(worker_impl& w, std::uint64_t set, std::uint32_t attempt, milliseconds hold_budget) {
  if (!w.gate.close(set, attempt)) return false;
  w.held.begin(set, hold_budget.count() > 0 ? hold_budget : w.settings.gate_hold_budget);
  ++w.routing_version;
  return true;
}

task<bool> close_here(worker_impl& w, std::uint64_t set, std::uint32_t attempt, clock::time_point deadline, milliseconds hold_budget) {
  if (!begin_closing(w, set, attempt, hold_budget)) co_return false;
  wakeup wake(w.io);
  w.drain_watchers.push_back(&wake);
  bool in_time = true;
  while (w.gate.known(set) && w.gate.open_transactions(set) > 0 && in_time) in_time = co_await wake.wait(deadline);
  std::erase(w.drain_watchers, &wake);
  if (!w.gate.known(set)) co_return false;
  if (w.gate.open_transactions(set) > 0) {
    report_blockers(w, set);
    open_gate(w, set);
    co_return false;
  }
  w.gate.seal(set);
  co_return true;
}

task<bool> hold_here(worker_impl& w, std::uint64_t set, milliseconds hold_budget) { co_return begin_closing(w, set, 0, hold_budget); }

task<std::optional<migration::open_transaction>> oldest_here(worker_impl& w, std::uint64_t set) {
  std::optional<migration::open_transaction> found;
  for (const auto& [pid, client] : w.sessions) {
    if ((client->touched() & w.gate.bit_of(set)) == 0) continue;
    auto one = client->open_transaction();
    if (!found || one.age > found->age) found = std::move(one);
  }
  co_return found;
}

task<gate_queue::report> open_here(worker_impl& w, std::uint64_t set) {
  open_gate(w, set);
  co_return w.held.end(set);
}

task<bool> reopen_here(worker_impl& w, std::uint64_t set) {
  open_gate(w, set);
  co_return true;
}

task<bool> forget_here(worker_impl& w, std::uint64_t set) {
  const auto bit = w.gate.remove(set);
  for (const auto& [pid, client] : w.sessions) client->forget_touch(bit);
  ++w.routing_version;
  w.held.end(set);
  w.release_held();
  co_return true;
}

task<bool> publish_here(worker_impl& w, std::shared_ptr<const routing::shard_map> map) {
  w.map = std::move(map);
  ++w.routing_version;
  co_return true;
}

task<bool> enter_here(worker_impl& w, migration::term_pass pass) {
  w.pass = std::move(pass);
  co_return true;
}

task<bool> lease_renewed_here(worker_impl& w) {
  w.release_held();
  co_return true;
}

task<migration::felt_latency> latency_here(worker_impl& w) { co_return w.latency.read(clock::now()); }

}  // namespace

migration::task<void> gate_controller::announce(migration::moving_set set) {
  const auto make = [&set](worker_impl& w) { return announce_here(w, set); };
  const auto known = co_await on_all<bool>(workers_, make);
  if (std::find(known.begin(), known.end(), false) != known.end()) throw std::runtime_error("more than 64 moving sets at a time");
}

migration::task<void> gate_controller::warm(std::uint64_t set, milliseconds budget) {
  const auto deadline = clock::now() + budget;
  const auto make = [set, deadline](worker_impl& w) { return warm_here(w, set, deadline); };
  co_await on_all<bool>(workers_, make);
}

migration::task<bool> gate_controller::close(std::uint64_t set, std::uint32_t attempt, milliseconds budget, milliseconds hold_budget) {
  const auto deadline = clock::now() + budget;
  const auto make = [=](worker_impl& w) { return close_here(w, set, attempt, deadline, hold_budget); };
  const auto drained = co_await on_all<bool>(workers_, make);
  if (std::find(drained.begin(), drained.end(), false) == drained.end()) co_return true;
  // The others have acknowledged in vain. Their report stays for open().
  const auto reopen = [set](worker_impl& w) { return reopen_here(w, set); };
  co_await on_all<bool>(workers_, reopen);
  co_return false;
}

migration::task<void> gate_controller::hold(std::uint64_t set, milliseconds hold_budget) {
  const auto make = [=](worker_impl& w) { return hold_here(w, set, hold_budget); };
  co_await on_all<bool>(workers_, make);
}

migration::task<std::optional<migration::open_transaction>> gate_controller::oldest(std::uint64_t set) {
  const auto make = [set](worker_impl& w) { return oldest_here(w, set); };
  const auto each = co_await on_all<std::optional<migration::open_transaction>>(workers_, make);
  std::optional<migration::open_transaction> found;
  for (const auto& one : each)
    if (one && (!found || one->age > found->age)) found = one;
  co_return found;
}

migration::task<migration::gate_report> gate_controller::open(std::uint64_t set) {
  const auto make = [set](worker_impl& w) { return open_here(w, set); };
  const auto reports = co_await on_all<gate_queue::report>(workers_, make);
  migration::gate_report sum;
  for (const auto& one : reports) {
    sum.held_statements += one.held;
    sum.longest_hold = std::max(sum.longest_hold, std::chrono::ceil<milliseconds>(one.longest));
    sum.blocking_clients.insert(sum.blocking_clients.end(), one.blocking_clients.begin(), one.blocking_clients.end());
  }
  co_return sum;
}

migration::task<void> gate_controller::forget(std::uint64_t set) {
  const auto make = [set](worker_impl& w) { return forget_here(w, set); };
  co_await on_all<bool>(workers_, make);
}

migration::task<void> gate_controller::publish(std::shared_ptr<const routing::shard_map> map) {
  const auto make = [&map](worker_impl& w) { return publish_here(w, map); };
  co_await on_all<bool>(workers_, make);
}

migration::task<void> gate_controller::enter(migration::term_pass pass) {
  const auto make = [&pass](worker_impl& w) { return enter_here(w, pass); };
  co_await on_all<bool>(workers_, make);
}

migration::task<void> gate_controller::lease_renewed() {
  const auto make = [](worker_impl& w) { return lease_renewed_here(w); };
  co_await on_all<bool>(workers_, make);
}

migration::task<migration::felt_latency> gate_controller::latency() {
  const auto make = [](worker_impl& w) { return latency_here(w); };
  const auto each = co_await on_all<migration::felt_latency>(workers_, make);
  migration::felt_latency sum;
  std::chrono::microseconds total{};
  for (const auto& one : each) {
    sum.statements += one.statements;
    total += one.mean * static_cast<std::int64_t>(one.statements);
    sum.worst = std::max(sum.worst, one.worst);
  }
  if (sum.statements > 0) sum.mean = total / static_cast<std::int64_t>(sum.statements);
  co_return sum;
}

}  // namespace proxy
