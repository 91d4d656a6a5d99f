#include "proxy/metrics/metrics.h"

#include <array>
#include <filesystem>
#include <fstream>
#include <limits>
#include <sstream>

#include <prometheus/text_serializer.h>
#include <sys/resource.h>
#include <unistd.h>

#include "proxy/worker/worker.h"

namespace proxy {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

constexpr auto fields = std::to_array<counter_field>({
    {"pgrotor_clients", "Clients connected now.", &counters::clients_now, true},
    {"pgrotor_clients_accepted_total", "Client connections accepted.", &counters::clients_accepted},
    {"pgrotor_logins_failed_total", "Logins refused: unknown user, wrong secret, timeout.", &counters::logins_failed},
    {"pgrotor_tls_handshakes_total", "TLS handshakes with clients.", &counters::tls_handshakes},
    {"pgrotor_tls_failures_total", "TLS handshakes that clients failed or left.", &counters::tls_failures},
    {"pgrotor_server_connections", "Connections to shards open now.", &counters::servers_now, true},
    {"pgrotor_server_connections_opened_total", "Connections to shards opened.", &counters::servers_opened},
    {"pgrotor_server_connections_failed_total", "Connections to shards that could not be made.", &counters::servers_failed},
    {"pgrotor_statements_total", "Statements answered.", &counters::statements},
    {"pgrotor_transactions_total", "Transactions ended.", &counters::transactions},
    {"pgrotor_shard_errors_total", "Errors that shards answered with.", &counters::errors_from_shards},
    {"pgrotor_proxy_errors_total", "Errors that pgrotor itself answered with.", &counters::errors_by_proxy},
    {"pgrotor_client_received_bytes_total", "Bytes received from clients.", &counters::bytes_from_clients},
    {"pgrotor_client_sent_bytes_total", "Bytes sent to clients.", &counters::bytes_to_clients},
    {"pgrotor_statements_by_key_total", "Statements routed by their shard key.", &counters::routed_by_key},
    {"pgrotor_statements_default_shard_total", "Statements routed to the default shard.", &counters::routed_default},
    {"pgrotor_statements_scattered_total", "Statements that several shards answered together.", &counters::routed_scattered},
    {"pgrotor_statements_pulled_total", "Statements that ran on copies of rows of several shards.", &counters::routed_pulled},
    {"pgrotor_statements_not_one_shard_total", "Statements refused with RT003: not proven to stay on one shard.", &counters::refused_not_one_shard},
    {"pgrotor_gate_waiting", "Statements held at a gate now.", &counters::gate_waiting_now, true},
    {"pgrotor_gate_held_total", "Statements that a gate held.", &counters::gate_held},
    {"pgrotor_gate_expired_total", "Held statements whose budget ran out (55P03).", &counters::gate_expired},
    {"pgrotor_gate_refused_total", "Statements refused because a gate held its maximum.", &counters::gate_refused_full},
    {"pgrotor_pool_waits_total", "Transactions that waited for a server connection.", &counters::pool_waits},
    {"pgrotor_pool_wait_seconds_total", "Time spent waiting for server connections.", &counters::pool_wait_us, false, 1e-6},
    {"pgrotor_pool_timeouts_total", "Waits for a server connection that ran into their limit.", &counters::pool_timeouts},
    {"pgrotor_server_checks_total", "Idle connections checked before they were given out.", &counters::servers_checked},
    {"pgrotor_shards_down", "Shards that cannot be reached now.", &counters::shards_down_now, true},
    {"pgrotor_shard_outages_total", "Times that a shard was found to be down.", &counters::shard_outages},
    {"pgrotor_shard_probes_total", "Attempts to reach a shard that is down.", &counters::shard_probes},
    {"pgrotor_shard_refusals_total", "Transactions that failed at once because their shard is down (08006).", &counters::shard_refusals},
    {"pgrotor_statement_timeouts_total", "Statements cancelled after timeouts.query_ms.", &counters::timeouts_statement},
    {"pgrotor_idle_in_transaction_timeouts_total", "Clients ended after timeouts.idle_in_transaction_ms.",
     &counters::timeouts_idle_in_transaction},
    {"pgrotor_transaction_timeouts_total", "Clients ended after timeouts.transaction_ms.", &counters::timeouts_transaction},
    {"pgrotor_client_idle_timeouts_total", "Clients ended after timeouts.client_idle_ms.", &counters::timeouts_client_idle},
    {"pgrotor_parses_injected_total", "Prepared statements prepared again on another server connection.", &counters::parses_injected},
    {"pgrotor_state_probes_total", "Transactions after which the shard was asked what they left in the session.", &counters::probes},
    {"pgrotor_state_replays_total", "Settings of a session made again on another server connection.", &counters::replays},
    {"pgrotor_unpins_total", "Server connections given back because the state that held them was gone.", &counters::unpins},
    {"pgrotor_pinned_servers", "Server connections that are kept for one client now.", &counters::pinned_now, true},
    {"pgrotor_plan_cache_hits_total", "Statement texts found in a plan cache.", &counters::plan_hits},
    {"pgrotor_plan_cache_misses_total", "Statement texts that had to be analysed.", &counters::plan_misses},
    {"pgrotor_sockets_overlooked_total", "Sockets whose readiness or end was found by the sweep instead of being told: a bug of pgrotor, if there are any.",
     &counters::sockets_overlooked},
    {"pgrotor_sessions_failed_total", "Clients whose session ended by an error inside pgrotor: a bug, if there are any.", &counters::sessions_failed},
    {"pgrotor_cancels_total", "Cancel requests passed on to shards.", &counters::cancels},
    {"pgrotor_commits_unknown_total", "COMMITs whose outcome was not known (08007).", &counters::commits_unknown},
});

MetricFamily family(std::string_view name, std::string_view help, MetricType type) { return {std::string(name), std::string(help), type, {}}; }

MetricFamily single(std::string_view name, std::string_view help, MetricType type, double value) {
  auto made = family(name, help, type);
  ClientMetric& metric = made.metric.emplace_back();
  (type == MetricType::Counter ? metric.counter.value : metric.gauge.value) = value;
  return made;
}

MetricFamily latency(const counters& counted) {
  auto made = family("pgrotor_statement_seconds", "Statements by the time from the client's message to the last byte of the answer.", MetricType::Histogram);
  auto& histogram = made.metric.emplace_back().histogram;
  for (std::size_t i = 0; i < counted.latency.size(); ++i) {
    histogram.sample_count += counted.latency[i];
    const double bound = i < latency_bounds_us.size() ? static_cast<double>(latency_bounds_us[i]) / 1e6 : std::numeric_limits<double>::infinity();
    histogram.bucket.push_back({histogram.sample_count, bound});
  }
  histogram.sample_sum = static_cast<double>(counted.latency_sum_us) / 1e6;
  return made;
}

MetricFamily pins(const counters& counted) {
  auto made = family("pgrotor_pins_total", "Server connections that came to be kept for one client, by the state that holds them.", MetricType::Counter);
  for_each_pin(static_cast<routing::state_bits>(~0u), [&](std::size_t i) {
    ClientMetric& metric = made.metric.emplace_back();
    metric.label.push_back({"reason", std::string(pin_reasons[i])});
    metric.counter.value = static_cast<double>(counted.pins[i]);
  });
  return made;
}

MetricFamily migrations(const migration::coordinator::counts& counts) {
  auto made = family("pgrotor_migrations", "Migrations by what has become of them.", MetricType::Gauge);
  const std::pair<const char*, std::uint64_t> states[] = {{"active", counts.active}, {"done", counts.done}, {"failed", counts.failed}};
  for (const auto& [state, count] : states) {
    ClientMetric& metric = made.metric.emplace_back();
    metric.label.push_back({"state", state});
    metric.gauge.value = static_cast<double>(count);
  }
  return made;
}

using labels = std::vector<prometheus::ClientMetric::Label>;

void append_sample(MetricFamily& to, labels of, double value) {
  ClientMetric& metric = to.metric.emplace_back();
  metric.label = std::move(of);
  metric.gauge.value = value;
}

MetricFamily shards_up(const figures& taken) {
  auto made = family("pgrotor_shard_up", "1, or 0 for a shard that could not be reached when it was last needed.", MetricType::Gauge);
  for (const auto& shard : taken.shards) append_sample(made, {{"shard", shard}}, taken.of_pools.down.contains(shard) ? 0 : 1);
  return made;
}

void append_pools(std::vector<MetricFamily>& out, const load& pools) {
  auto open = family("pgrotor_pool_connections", "Connections to shards by pool and what they do.", MetricType::Gauge);
  auto waiting = family("pgrotor_pool_waiting", "Transactions that wait for a connection of the pool now.", MetricType::Gauge);
  for (const auto& [of, one] : pools.pools) {
    const auto& [shard, user, database] = of;
    const labels pool{{"shard", shard}, {"user", user}, {"database", database}};
    const std::pair<const char*, std::uint64_t> states[] = {{"active", one.active}, {"idle", one.idle}, {"opening", one.opening}};
    for (const auto& [state, count] : states) {
      auto with_state = pool;
      with_state.push_back({"state", state});
      append_sample(open, std::move(with_state), static_cast<double>(count));
    }
    append_sample(waiting, pool, static_cast<double>(one.waiting));
  }
  out.push_back(std::move(open));
  out.push_back(std::move(waiting));
}

// Of migrations that have not ended; what becomes of the others is counted in pgrotor_migrations.
void append_moves(std::vector<MetricFamily>& out, const std::vector<migration::coordinator::migration_figures>& moves) {
  using move = migration::coordinator::migration_figures;
  auto state = family("pgrotor_migration_state", "Always 1; the state is a label.", MetricType::Gauge);
  for (const auto& one : moves)
    append_sample(state, {{"migration", std::to_string(one.id)}, {"source", one.source}, {"target", one.target}, {"state", one.state}}, 1);
  out.push_back(std::move(state));
  const auto add = [&](std::string_view name, std::string_view help, auto value_of) {
    auto made = family(name, help, MetricType::Gauge);
    for (const auto& one : moves) append_sample(made, {{"migration", std::to_string(one.id)}}, static_cast<double>(value_of(one)));
    out.push_back(std::move(made));
  };
  add("pgrotor_migration_age_seconds", "Time since the migration was planned.", [](const move& one) { return one.age_seconds; });
  add("pgrotor_migration_state_seconds", "Time since the migration came to its state.", [](const move& one) { return one.state_seconds; });
  add("pgrotor_migration_rows_copied", "Rows copied so far.", [](const move& one) { return one.rows_copied; });
  add("pgrotor_migration_rows_left", "Rows that the copy has to go, by the estimate of the planner.", [](const move& one) { return one.rows_left; });
  add("pgrotor_migration_backlog_bytes", "WAL of the source that the target does not have yet.", [](const move& one) { return one.backlog_bytes; });
  add("pgrotor_migration_held_bytes", "Changes held for rows that are not copied yet.", [](const move& one) { return one.held_bytes; });
  add("pgrotor_migration_lag_seconds", "How long ago the source was where the target is.", [](const move& one) { return one.lag_seconds; });
}

MetricFamily build_info() {
  auto made = single("pgrotor_build_info", "Always 1; the version is the label.", MetricType::Gauge, 1);
  made.metric.front().label.push_back({"version", PGROTOR_VERSION});
  return made;
}

void append_process(std::vector<MetricFamily>& out, const process_figures& process) {
  const auto add = [&out](std::string_view name, std::string_view help, double value) { out.push_back(single(name, help, MetricType::Gauge, value)); };
  out.push_back(single("process_cpu_seconds_total", "User and system CPU time used.", MetricType::Counter, process.cpu_seconds));
  add("process_resident_memory_bytes", "Resident memory.", static_cast<double>(process.resident_bytes));
  add("process_open_fds", "Open file descriptors.", static_cast<double>(process.open_fds));
  add("process_max_fds", "Limit of open file descriptors.", static_cast<double>(process.max_fds));
  add("process_start_time_seconds", "Start of the process since the Unix epoch.", process.start_time_seconds);
}

double start_time() {
  struct timespec now {}, up {};
  clock_gettime(CLOCK_REALTIME, &now);
  clock_gettime(CLOCK_BOOTTIME, &up);
  std::ifstream file("/proc/self/stat");
  std::string text((std::istreambuf_iterator<char>(file)), {});
  std::istringstream rest(text.substr(text.rfind(')') + 1));  // field 2 may hold blanks; the start is field 22
  std::string skipped;
  for (int field = 3; field < 22; ++field) rest >> skipped;
  double ticks = 0;
  rest >> ticks;
  const auto seconds = [](const struct timespec& t) { return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) / 1e9; };
  return seconds(now) - seconds(up) + ticks / static_cast<double>(sysconf(_SC_CLK_TCK));
}

}  // namespace

std::span<const counter_field> counter_fields() noexcept { return fields; }

process_figures read_process() {
  process_figures out;
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  for (const timeval& used : {usage.ru_utime, usage.ru_stime}) out.cpu_seconds += static_cast<double>(used.tv_sec) + static_cast<double>(used.tv_usec) / 1e6;
  std::uint64_t all_pages = 0, resident_pages = 0;
  std::ifstream("/proc/self/statm") >> all_pages >> resident_pages;
  out.resident_bytes = resident_pages * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
  std::error_code gone;
  for (auto entry = std::filesystem::directory_iterator("/proc/self/fd", gone); entry != std::filesystem::directory_iterator(); entry.increment(gone)) {
    ++out.open_fds;
  }
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  out.max_fds = limit.rlim_cur;
  static const double started = start_time();
  out.start_time_seconds = started;
  return out;
}

std::vector<MetricFamily> scrape::Collect() const {
  std::vector<MetricFamily> out;
  for (const auto& field : fields) {
    const double value = static_cast<double>(taken_.of_workers.*field.member) * field.scale;
    out.push_back(single(field.name, field.help, field.gauge ? MetricType::Gauge : MetricType::Counter, value));
  }
  const auto add = [&out](std::string_view name, std::string_view help, MetricType type, std::uint64_t value) {
    out.push_back(single(name, help, type, static_cast<double>(value)));
  };
  out.push_back(pins(taken_.of_workers));
  out.push_back(latency(taken_.of_workers));
  out.push_back(shards_up(taken_));
  append_pools(out, taken_.of_pools);
  out.push_back(migrations(taken_.migrations));
  append_moves(out, taken_.moves);
  add("pgrotor_cutovers_total", "Cutovers that switched.", MetricType::Counter, taken_.migrations.cutovers);
  add("pgrotor_cutover_retries_total", "Cutover attempts that were given up and repeated.", MetricType::Counter, taken_.migrations.cutover_retries);
  add("pgrotor_branches_in_doubt", "Prepared branches of transactions over several shards that cannot be finished yet; SHOW PREPARED says why.", MetricType::Gauge,
      taken_.migrations.in_doubt);
  add("pgrotor_map_generation", "Generation of the routing map.", MetricType::Gauge, taken_.generation);
  const auto& term = taken_.term;
  add("pgrotor_catalog_up", "1 while the catalog answers.", MetricType::Gauge, term.catalog_up ? 1 : 0);
  add("pgrotor_catalog_reconnects_total", "Times that the catalog was connected again.", MetricType::Counter, term.reconnects);
  add("pgrotor_term_held", "1 while the term of this pgrotor is renewed in time; 0 while moving keys wait, or another pgrotor has the term.", MetricType::Gauge,
      term.now == migration::term_news::state::held || term.now == migration::term_news::state::unsure ? 1 : 0);
  add("pgrotor_term_epoch", "Number of the term.", MetricType::Gauge, term.epoch);
  out.push_back(single("pgrotor_lease_seconds", "Time left until the lease of the term runs out.", MetricType::Gauge, term.lease_left_seconds));
  add("pgrotor_workers", "Worker threads.", MetricType::Gauge, taken_.workers);
  out.push_back(build_info());
  append_process(out, taken_.process);
  return out;
}

std::string scrape::text() const {
  std::ostringstream out;
  prometheus::TextSerializer().Serialize(out, Collect());
  return std::move(out).str();
}

migration::task<counters> sum_counters(std::span<const std::unique_ptr<worker>> workers) {
  counters sum;
  for (const auto& one : workers) {
    const counters counted = co_await one->read_counters();
    sum += counted;
  }
  co_return sum;
}

migration::task<load> sum_load(std::span<const std::unique_ptr<worker>> workers) {
  load sum;
  for (const auto& one : workers) {
    const load part = co_await one->read_load();
    sum += part;
  }
  co_return sum;
}

}  // namespace proxy
