// What a worker counts: plain integers owned by one worker, verbs as members, summed at scrape by proxy/metrics/metrics.cc. No atomics on
// the message path.
#pragma once

#include <array>
#include <cstdint>

#include "proxy/counters/pins.h"

namespace proxy {

// Upper bounds in microseconds of the latency histogram; the last bucket has none.
inline constexpr std::array<std::uint64_t, 14> latency_bounds_us{100,    250,    500,     1'000,   2'500,   5'000,     10'000,
                                                                 25'000, 50'000, 100'000, 250'000, 500'000, 1'000'000, 5'000'000};

struct counters {
  std::uint64_t clients_accepted = 0, clients_now = 0, logins_failed = 0, tls_handshakes = 0, tls_failures = 0;
  std::uint64_t servers_now = 0, servers_opened = 0, servers_failed = 0;
  std::uint64_t statements = 0, transactions = 0, errors_from_shards = 0, errors_by_proxy = 0;
  std::uint64_t bytes_from_clients = 0, bytes_to_clients = 0;
  std::uint64_t routed_by_key = 0, routed_default = 0, routed_scattered = 0, routed_pulled = 0, refused_not_one_shard = 0;
  std::uint64_t gate_held = 0, gate_waiting_now = 0, gate_expired = 0, gate_refused_full = 0;
  std::uint64_t pool_waits = 0, pool_wait_us = 0, pool_timeouts = 0;
  std::uint64_t servers_checked = 0, shard_outages = 0, shards_down_now = 0, shard_probes = 0, shard_refusals = 0;
  std::uint64_t timeouts_statement = 0, timeouts_idle_in_transaction = 0, timeouts_transaction = 0, timeouts_client_idle = 0;
  std::uint64_t parses_injected = 0, plan_hits = 0, plan_misses = 0, cancels = 0, commits_unknown = 0;
  std::uint64_t sockets_overlooked = 0, sessions_failed = 0;
  std::uint64_t probes = 0, replays = 0, unpins = 0, pinned_now = 0;
  std::array<std::uint64_t, pin_reasons.size()> pins{};  // by reason
  std::array<std::uint64_t, latency_bounds_us.size() + 1> latency{};  // of statements, client message to last byte of the answer
  std::uint64_t latency_sum_us = 0;

  void statement_done(std::uint64_t microseconds) noexcept;
  counters& operator+=(const counters&) noexcept;
};

}  // namespace proxy
