// Workers with a hand-made map behind a real listener, for session tests: sessions, pools and gates without coordinator and catalog.
// Arguments: users file, default shard, pool size, workers, then name=dsn for each shard. Reads commands on standard input and answers
// each with one line of JSON on standard output; the first line it writes is {"port": N}. See world.py, which drives it.
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <future>
#include <iostream>
#include <limits>
#include <sstream>

#include "allocations.h"
#include "migration/base/refused.h"
#include "migration/engine/prepared_names.h"
#include "proxy/auth/users.h"
#include "proxy/config/log.h"
#include "proxy/gate/gate.h"
#include "proxy/serve/listener.h"
#include "proxy/shard/process_book.h"
#include "proxy/worker/worker.h"
#include "proxy/worker/worker_impl.h"

namespace {

namespace asio = boost::asio;
using migration::milliseconds;

constexpr routing::distribution_id shop{1}, texts{2};

// By its first column.
routing::table sharded(std::string name, routing::distribution_id by, std::uint32_t key_type, std::vector<std::string> columns) {
  routing::table made;
  made.schema = "public";
  made.name = std::move(name);
  made.distribution = by;
  made.key_column = columns.front();
  made.key_type_oid = key_type;
  made.columns = std::move(columns);
  return made;
}

// Logs in to shards as world.py's second user.
migration::coordinator_settings asking(const proxy::config& settings) {
  migration::coordinator_settings made;
  made.shard_user = "other";
  made.shard_password = "right horse";
  made.question_timeout = settings.connect_timeout;
  return made;
}

// All placements below zero belong to the first shard, the others to the second; more shards own nothing.
routing::shard_map::parts first_map(const std::vector<std::pair<std::string, std::string>>& shards, const std::string& default_shard) {
  routing::shard_map::parts parts;
  parts.number = parts.schema_version = routing::generation{1};
  for (std::size_t i = 0; i < shards.size(); ++i) {
    parts.shards.push_back({routing::shard_id{static_cast<std::uint32_t>(i + 1)}, shards[i].first, shards[i].second, {}});
    if (shards[i].first == default_shard) parts.default_shard = parts.shards.back().id;
  }
  routing::distribution dist;
  dist.id = shop;
  dist.name = "shop";
  const routing::placement zero{0};
  dist.ranges.push_back({{routing::lowest_placement, zero}, routing::shard_id{1}});
  dist.ranges.push_back({{zero, routing::end_of_placements}, routing::shard_id{shards.size() > 1 ? 2u : 1u}});
  parts.distributions.push_back(dist);
  dist.id = texts;
  dist.name = "texts";
  dist.type = routing::key_type::text;
  parts.distributions.push_back(dist);
  parts.tables.push_back(sharded("orders", shop, 20, {"customer_id", "id", "note"}));
  parts.tables.push_back(sharded("words", texts, 25, {"word", "note"}));
  return parts;
}

class harness {
 public:
  harness(const proxy::config& settings, const proxy::users& accounts, routing::shard_map::parts parts)
      : map_(routing::shard_map::make(std::move(parts))), workers_(make_workers(settings, accounts)), gates_(workers_),
        engine_(io_.get_executor(), asking(settings), gates_) {
    engine_.set_map(map_);
    const auto processes = std::make_shared<proxy::process_book>();
    for (const auto& one : workers_) {
      one->set_names(names_);
      one->set_processes(processes);
      one->set_peers(workers_);
      one->start();
    }
    thread_ = std::thread([this] { io_.run(); });
  }
  ~harness() {
    listener_.reset();
    for (const auto& one : workers_) one->stop_and_join();
    work_.reset();
    io_.stop();
    thread_.join();
  }

  void publish() { run(gates_.publish(map_)); }
  int listen() {
    listener_.emplace(io_, proxy::endpoint{"127.0.0.1", 0}, proxy::tcp_options(), [this](int client) { workers_[next_++ % workers_.size()]->adopt(client); });
    const auto& where = listener_->address();
    return std::stoi(where.substr(where.rfind(':') + 1));
  }
  std::string command(std::istringstream line);

 private:
  static std::vector<std::unique_ptr<proxy::worker>> make_workers(const proxy::config& settings, const proxy::users& accounts) {
    std::vector<std::unique_ptr<proxy::worker>> made;
    for (int i = 0; i < settings.workers; ++i) made.push_back(std::make_unique<proxy::worker>(i, settings, accounts));
    return made;
  }
  template <typename T>
  std::future<T> start(migration::task<T> what) { return asio::co_spawn(io_, std::move(what), asio::use_future); }
  template <typename T>
  T run(migration::task<T> what) { return start(std::move(what)).get(); }
  migration::moving_set moving(std::istringstream& line);
  std::string flip(std::uint64_t id);
  std::string counters();
  std::string show(const std::string& what);
  std::string drain();
  std::string allocations();

  asio::io_context io_;
  asio::executor_work_guard<asio::io_context::executor_type> work_{io_.get_executor()};
  std::shared_ptr<const routing::shard_map> map_;
  std::vector<std::unique_ptr<proxy::worker>> workers_;
  proxy::gate_controller gates_;
  migration::engine engine_;
  const std::shared_ptr<migration::prepared_names> names_ = std::make_shared<migration::prepared_names>(engine_);
  std::map<std::uint64_t, migration::moving_set> sets_;
  std::size_t next_ = 0;
  std::optional<proxy::listener> listener_;
  std::future<bool> closing_;
  std::thread thread_;
};

// announce <id> <lower> <upper or -> <source> <target>
migration::moving_set harness::moving(std::istringstream& line) {
  migration::moving_set set;
  routing::hash_bounds bounds;
  std::string upper;
  line >> set.id >> bounds.lower >> upper >> set.source.value >> set.target.value;
  set.distribution = shop;
  if (upper != "-") bounds.upper = std::stoll(upper);
  set.ranges.push_back(routing::range_of_hashes(bounds));
  sets_[set.id] = set;
  return set;
}

// The next generation, in which the set belongs to its target.
std::string harness::flip(std::uint64_t id) {
  const auto& set = sets_.at(id);
  auto parts = map_->with_owner(set.distribution, set.ranges, set.target);
  parts.number.value = map_->number().value + 1;
  map_ = routing::shard_map::make(std::move(parts));
  engine_.set_map(map_);
  publish();
  return fmt::format("{}", map_->number().value);
}

std::string harness::counters() {
  proxy::counters sum;
  for (const auto& one : workers_) sum += run(one->read_counters());
  std::vector<std::string> pins;
  proxy::for_each_pin(static_cast<routing::state_bits>(~0u), [&](std::size_t i) { pins.push_back(fmt::format(R"("{}": {})", proxy::pin_reasons[i], sum.pins[i])); });
  return fmt::format(
      R"({{"statements": {}, "errors_by_proxy": {}, "gate_held": {}, "gate_waiting_now": {}, "gate_expired": {}, "servers_now": {}, )"
      R"("servers_opened": {}, "clients_now": {}, "pool_waits": {}, "parses_injected": {}, "commits_unknown": {}, "cancels": {}, )"
      R"("bytes_to_clients": {}, "transactions": {}, "logins_failed": {}, "shard_outages": {}, "shards_down_now": {}, )"
      R"("shard_probes": {}, "probes": {}, "replays": {}, "unpins": {}, "pinned_now": {}, "sockets_overlooked": {}, "sessions_failed": {}, )"
      R"("pins": {{{}}}}})",
      sum.statements, sum.errors_by_proxy, sum.gate_held, sum.gate_waiting_now, sum.gate_expired, sum.servers_now, sum.servers_opened,
      sum.clients_now, sum.pool_waits, sum.parses_injected, sum.commits_unknown, sum.cancels, sum.bytes_to_clients, sum.transactions,
      sum.logins_failed, sum.shard_outages, sum.shards_down_now, sum.shard_probes, sum.probes, sum.replays, sum.unpins, sum.pinned_now,
      sum.sockets_overlooked, sum.sessions_failed, fmt::join(pins, ", "));
}

std::string harness::show(const std::string& what) {
  std::vector<std::string> rows;
  for (const auto& one : workers_) {
    const auto table = run(one->show(what));
    for (const auto& row : table.rows) {
      std::vector<std::string> cells;
      for (std::size_t i = 0; i < row.size(); ++i)
        cells.push_back(fmt::format(R"("{}": {})", table.columns[i].name, row[i] ? fmt::format("\"{}\"", *row[i]) : "null"));
      rows.push_back(fmt::format("{{{}}}", fmt::join(cells, ", ")));
    }
  }
  return fmt::format("[{}]", fmt::join(rows, ", "));
}

// What the first worker's thread has allocated, this question included.
std::string harness::allocations() {
  auto ask = []() -> migration::task<std::uint64_t> { co_return allocations_so_far(); };
  return fmt::format("{}", run(proxy::run_on(*workers_.front(), ask())));
}

std::string harness::drain() {
  std::vector<std::future<void>> draining;
  for (const auto& one : workers_) draining.push_back(start(one->drain()));
  for (auto& one : draining) one.get();
  return "true";
}

std::string harness::command(std::istringstream line) {
  std::string verb, what;
  std::uint64_t id = 0;
  line >> verb;
  if (verb == "announce") return run(gates_.announce(moving(line))), "true";
  if (verb == "counters") return counters();
  if (verb == "allocations") return allocations();
  if (verb == "drain") return drain();
  if (verb == "show") return line >> what, show(what);
  if (verb == "latency") {
    const auto felt = run(gates_.latency());
    return fmt::format(R"({{"statements": {}, "mean_us": {}, "worst_us": {}}})", felt.statements, felt.mean.count(), felt.worst.count());
  }
  line >> id;
  if (verb == "flip") return flip(id);
  if (verb == "forget") return run(gates_.forget(id)), "true";
  if (verb == "warm") return run(gates_.warm(id, milliseconds(5'000))), "true";
  if (verb == "close") {
    std::uint32_t attempt = 0;
    int budget = 0, hold = 0;
    line >> attempt >> budget >> hold;
    closing_ = start(gates_.close(id, attempt, milliseconds(budget), milliseconds(hold)));
    return "true";
  }
  if (verb == "hold") return run(gates_.hold(id, milliseconds(5'000))), "true";
  if (verb == "oldest") {
    const auto found = run(gates_.oldest(id));
    if (!found) return "null";
    return fmt::format(R"({{"client": {}, "server_pid": {}, "user": "{}", "application": "{}", "age_ms": {}}})", found->client, found->server_pid,
                       found->user, found->application, found->age.count());
  }
  if (verb == "closed") return closing_.get() ? "true" : "false";
  if (verb == "open") {
    const auto report = run(gates_.open(id));
    return fmt::format(R"({{"held": {}, "longest_ms": {}, "blocking": [{}]}})", report.held_statements, report.longest_hold.count(),
                       fmt::join(report.blocking_clients, ", "));
  }
  throw std::invalid_argument("unknown command " + verb);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 6) return 2;
  proxy::config settings;
  settings.users_file = argv[1];
  settings.default_shard = argv[2];
  settings.pool_size = std::stoi(argv[3]);
  settings.workers = std::stoi(argv[4]);
  settings.max_message_bytes = 8u << 20;
  settings.max_clients = 200;
  settings.pool_wait = milliseconds(3'000);
  settings.connect_timeout = milliseconds(2'000);
  settings.connect_timeout = milliseconds(2'500);
  settings.login_timeout = milliseconds(3'000);
  settings.drain_timeout = milliseconds(5'000);
  settings.gate_hold_budget = milliseconds(5'000);
  std::vector<std::pair<std::string, std::string>> shards;
  for (int i = 5; i < argc; ++i) {
    const std::string argument = argv[i];
    const auto equals = argument.find('=');
    shards.emplace_back(argument.substr(0, equals), argument.substr(equals + 1));
  }
  const auto accounts = proxy::users::load(settings.users_file);
  harness running(settings, accounts, first_map(shards, settings.default_shard));
  running.publish();
  std::cout << "{\"port\": " << running.listen() << "}" << std::endl;
  for (std::string line; std::getline(std::cin, line);) std::cout << running.command(std::istringstream(line)) << std::endl;
}
