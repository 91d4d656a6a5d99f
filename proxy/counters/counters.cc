#include "proxy/counters/counters.h"

#include "proxy/counters/load.h"

#include <algorithm>

namespace proxy {

void counters::statement_done(std::uint64_t microseconds) noexcept {
  const auto bucket = std::lower_bound(latency_bounds_us.begin(), latency_bounds_us.end(), microseconds);
  ++latency[static_cast<std::size_t>(bucket - latency_bounds_us.begin())];
  latency_sum_us += microseconds;
  ++statements;
}

counters& counters::operator+=(const counters& other) noexcept {
  constexpr std::uint64_t counters::*sums[] = {
      &counters::clients_accepted, &counters::clients_now,        &counters::logins_failed,   &counters::servers_now,
      &counters::tls_handshakes,   &counters::tls_failures,
      &counters::servers_opened,   &counters::servers_failed,     &counters::statements,      &counters::transactions,
      &counters::errors_from_shards, &counters::errors_by_proxy,  &counters::bytes_from_clients, &counters::bytes_to_clients,
      &counters::routed_by_key,    &counters::routed_default,     &counters::routed_scattered,  &counters::routed_pulled,
      &counters::refused_not_one_shard, &counters::gate_held,
      &counters::gate_waiting_now, &counters::gate_expired,       &counters::gate_refused_full, &counters::pool_waits,
      &counters::pool_wait_us,     &counters::pool_timeouts,      &counters::parses_injected, &counters::plan_hits,
      &counters::plan_misses,      &counters::cancels,            &counters::commits_unknown, &counters::latency_sum_us,
      &counters::servers_checked,  &counters::shard_outages,      &counters::shards_down_now, &counters::shard_probes,
      &counters::shard_refusals,   &counters::timeouts_statement, &counters::timeouts_idle_in_transaction,
      &counters::timeouts_transaction, &counters::timeouts_client_idle, &counters::sockets_overlooked, &counters::sessions_failed,
      &counters::probes,           &counters::replays,            &counters::unpins,          &counters::pinned_now,
  };
  for (const auto member : sums) this->*member += other.*member;
  for (std::size_t i = 0; i < latency.size(); ++i) latency[i] += other.latency[i];
  for (std::size_t i = 0; i < pins.size(); ++i) pins[i] += other.pins[i];
  return *this;
}

void load::add(const std::string& shard, const std::string& user, const std::string& database, const pool_load& more) {
  auto found = pools.find({shard, user, database});
  if (found == pools.end()) found = pools.try_emplace(pools.size() < most_pools ? std::tuple(shard, user, database) : std::tuple(shard, "", "")).first;
  auto& sum = found->second;
  sum.active += more.active;
  sum.idle += more.idle;
  sum.opening += more.opening;
  sum.waiting += more.waiting;
}

load& load::operator+=(const load& other) {
  for (const auto& [of, one] : other.pools) add(std::get<0>(of), std::get<1>(of), std::get<2>(of), one);
  down.insert(other.down.begin(), other.down.end());
  return *this;
}

}  // namespace proxy
