#include "proxy/serve/server.h"

#include <csignal>
#include <sstream>

#include <unistd.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <fmt/format.h>

#include "migration/base/refused.h"
#include "migration/engine/engine.h"
#include "migration/shard/prepare.h"
#include "protocol/sqlstate.h"
#include "proxy/config/log.h"
#include "proxy/metrics/metrics.h"
#include "proxy/net/run_handlers.h"
#include "proxy/net/wakeup.h"
#include "proxy/serve/reach.h"
#include "proxy/serve/reload.h"
#include "proxy/shard/process_book.h"
#include "proxy/transaction/commit_barrier.h"

namespace proxy {

namespace asio = boost::asio;

namespace {

constexpr std::chrono::seconds coordinator_stop_time{10};  // what it is in the middle of may end; a cutover has its own budget

migration::coordinator_settings settings_for(const config& c) {
  migration::coordinator_settings settings;
  settings.catalog_dsn = c.catalog_dsn;
  settings.lease = c.catalog_lease;
  settings.shard_user = c.shards_user;
  settings.shard_password = c.shards_password;
  settings.pg_dump = c.pg_dump;
  settings.cutover_budget = c.cutover_budget;
  settings.end_strangers = c.end_strangers;
  settings.recover_after = c.recover_after;
  settings.migrations_at_once = static_cast<std::size_t>(c.migrations_at_once);
  settings.hold_budget = c.gate_hold_budget;
  settings.question_timeout = c.connect_timeout;
  return settings;
}

std::vector<std::unique_ptr<worker>> make_workers(const config& c, const users& known) {
  std::vector<std::unique_ptr<worker>> made;
  for (int i = 0; i < c.workers; ++i) made.push_back(std::make_unique<worker>(i, c, known));
  return made;
}

std::string text_of(std::exception_ptr error) {
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& known) {
    return known.what();
  } catch (...) {
    return "unknown error";
  }
}

}  // namespace

server::server(const config& c, const users& known)
    : config_(c),
      coordinator_work_(coordinator_io_.get_executor()),
      signals_(io_, SIGTERM, SIGINT, SIGHUP),
      coordinator_ended_(io_, migration::clock::time_point::max()),
      workers_(make_workers(c, known)),
      gates_(workers_),
      coordinator_(coordinator_io_, settings_for(c), gates_),
      admin_(*this, coordinator_, workers_) {}

server::~server() {
  coordinator_work_.reset();
  coordinator_io_.stop();
  if (coordinator_thread_.joinable()) coordinator_thread_.join();
  for (const auto& one : workers_) one->stop_and_join();
}

int server::run() {
  std::string problem;
  if (!offer_tls(problem)) throw config_error(problem);
  wait_for_signal();
  http_.emplace(io_, config_.http, http_answers());
  log_info("http: listening on {}:{}", config_.http.host, http_->port());
  start_threads();
  asio::co_spawn(io_, start(), [this](std::exception_ptr failed) {
    if (!failed) return;
    log_error("{}", text_of(failed));
    begin_shut_down(1);
  });
  run_handlers(io_, "main");
  return exit_code_;
}

void server::start_threads() {
  const auto barrier = std::make_shared<commit_barrier>();
  const auto processes = std::make_shared<process_book>();
  for (const auto& one : workers_) {
    one->set_console(admin_);
    one->set_names(coordinator_.names());
    one->set_recoverer(coordinator_.recovery());
    one->set_barrier(barrier);
    one->set_processes(processes);
    one->set_peers(workers_);
    one->start();
  }
  coordinator_thread_ = std::thread([this] { run_handlers(coordinator_io_, "coordinator"); });
}

task<void> server::start() {
  auto starting = coordinator_.start();
  try {
    co_await asio::co_spawn(coordinator_io_, std::move(starting), asio::use_awaitable);
  } catch (const migration::pg::sql_error& error) {
    const auto what = catalog_of(config_);
    const bool unreachable = error.where == what.where && error.connection_lost;
    throw config_error(problem_line(config_, what, unreachable ? unreachable_text(what, error) : refusal_text(what, error)));
  } catch (const std::exception& error) {
    const auto what = catalog_of(config_);
    throw config_error(problem_line(config_, what, refusal_text(what, error)));
  }
  run_beside(coordinator_.keep_term());
  run_beside(coordinator_.run());
  auto& accepts = workers_.size() == 1 ? workers_.front()->context() : io_;
  listener_.emplace(accepts, config_.listen, config_.tcp, [this](int client) { workers_[next_worker_++ % workers_.size()]->adopt(client); });
  phase_ = phase::serving;
  log_info("listening on {} version={} workers={} generation={}", listener_->address(), PGROTOR_VERSION, workers_.size(),
           coordinator_.map()->number().value);
  asio::co_spawn(io_, warn_about_shards(), [](std::exception_ptr failed) {
    if (failed) log_warning("the shards of the map could not all be looked at: {}", text_of(failed));
  });
}

void server::run_beside(migration::task<void> what) {
  ++coordinator_tasks_;
  asio::co_spawn(coordinator_io_, std::move(what), [this](std::exception_ptr failed) {
    std::optional<std::string> why;  // an exception does not leave its thread
    if (failed) why = text_of(failed);
    asio::post(io_, [this, why = std::move(why)] { on_coordinator_end(why); });
  });
}

// A shard that is down stops nobody else; its own clients get an error when they need it.
task<void> server::warn_about_shards() {
  const auto map = coordinator_.map();
  for (const auto& shard : map->shards()) {
    const shard_config named{shard.name, shard.dsn, 0};
    const auto what = shard_of(config_, named);
    auto look = coordinator_.look_at(shard.id);
    try {
      co_await asio::co_spawn(coordinator_io_, std::move(look), asio::use_awaitable);
    } catch (const migration::pg::sql_error& error) {
      const bool answers = error.sqlstate.starts_with("RT") || error.sqlstate.starts_with("42");
      if (error.sqlstate == protocol::sqlstate::wrong_version) {
        log_warning("{}; until then moves, commands and transactions over several shards do not run there, other statements of clients do",
                    problem_line(config_, what, refusal_text(what, error)));
        continue;
      }
      log_warning("{}; statements for other shards go on", answers ? refusal_text(what, error) : unreachable_text(what, error));
    }
  }
}

void server::on_coordinator_end(const std::optional<std::string>& why) {
  if (--coordinator_tasks_ == 0) coordinator_ended_.cancel();
  if (!why || !lost_.empty()) return;
  // Its catalog belongs to somebody else now, or is not what it should be: routing on by an old map would be wrong.
  lost_ = *why;
  log_error("coordinator: ended: {}", lost_);
  for (const auto& one : workers_) one->retire(lost_);
  begin_shut_down(1);
}

void server::wait_for_signal() {
  signals_.async_wait([this](const boost::system::error_code& error, int number) {
    if (!error) on_signal(number);
  });
}

void server::on_signal(int number) {
  wait_for_signal();
  if (number == SIGHUP) return reload_on_signal();
  if (phase_ == phase::starting) {
    log_info("signal {}: stopped before the first client was accepted", number);
    _exit(0);  // the coordinator may be in the middle of its start, and nothing of it needs undoing
  }
  log_info("signal {}: {}", number, phase_ == phase::draining ? "the second one, ending at once" : "draining");
  if (phase_ == phase::draining) _exit(1);
  begin_shut_down(0);
}

void server::reload_on_signal() {
  log_info("SIGHUP: the configuration, the users and the files of [listen.tls] are read again");
  asio::co_spawn(io_, reload_here(), [](std::exception_ptr failed, migration::answer) {
    try {
      if (failed) std::rethrow_exception(failed);
    } catch (const migration::refused& why) {
      std::istringstream problems(why.notice.detail);
      for (std::string one; std::getline(problems, one);) log_error("SIGHUP: {}; new clients go on with what was read before", one);
    } catch (const std::exception& why) {
      log_error("SIGHUP: {}", why.what());
    }
  });
}

task<migration::answer> server::reload() { return asio::co_spawn(io_, reload_here(), asio::use_awaitable); }
task<config> server::configuration() { return asio::co_spawn(io_, configuration_here(), asio::use_awaitable); }
task<config> server::configuration_here() { co_return config_; }

void server::shut_down() {
  asio::post(io_, [this] { begin_shut_down(0); });
}

namespace {

struct reloaded {
  std::shared_ptr<const config> settings;
  std::shared_ptr<const users> known;
  std::shared_ptr<const tls_context> tls;
};

// nullptr without a problem: TLS is not offered.
std::shared_ptr<const tls_context> load_tls(const config& settings, std::string& problem) {
  if (settings.tls.how == listen_tls::mode::disable) return nullptr;
  auto loaded = load_client_tls(settings, problem);
  if (!loaded) return nullptr;
  if (const auto worry = loaded->worry(); !worry.empty()) log_warning("{}: {}", settings.tls.certificate, worry);
  return loaded;
}

reloaded read_again(const config& before) {
  try {
    const auto fresh = std::make_shared<const config>(load_config(before.path));
    reloaded all{fresh, std::make_shared<const users>(load_users(*fresh)), nullptr};
    std::string problem;
    all.tls = load_tls(*fresh, problem);
    if (!problem.empty()) throw config_error(problem);
    return all;
  } catch (const config_error& problems) {
    migration::refuse(protocol::sqlstate::config_file_error, "the configuration has problems, and nothing was changed", problems.what());
  }
}

}  // namespace

bool server::offer_tls(std::string& problem) {
  const auto loaded = load_tls(config_, problem);
  if (!problem.empty()) return false;
  for (const auto& one : workers_) one->offer_tls(loaded);
  return true;
}

task<migration::answer> server::reload_here() {
  const auto fresh = read_again(config_);
  const auto changed = changes_between(config_, *fresh.settings);
  const auto settings = std::make_shared<const config>(in_force(config_, *fresh.settings));
  config_ = *settings;
  migration::set_log_level(*migration::parse_log_level(config_.log_level));
  if (listener_) listener_->set_options(config_.tcp);
  for (const auto& one : workers_) {
    one->offer_tls(fresh.tls);
    co_await one->reconfigure(settings, fresh.known);
  }
  migration::answer told{reload_columns, {}, "RELOAD"};
  for (const auto& one : changed) {
    const char* effect = one.needs_restart ? "needs a restart" : "in force";
    log_info("reload: {} {} -> {}: {}", one.key, one.before, one.now, effect);
    told.rows.push_back({one.key, one.before, one.now, effect});
  }
  if (changed.empty()) log_info("reload: users read again, no setting has changed");
  co_return told;
}

void server::begin_shut_down(int exit_code) {
  if (exit_code_ == 0) exit_code_ = exit_code;
  if (phase_ == phase::draining || phase_ == phase::stopped) return;
  phase_ = phase::draining;
  asio::co_spawn(io_, end(), [this](std::exception_ptr failed) {
    if (failed) {
      log_error("shutdown: {}", text_of(failed));
      exit_code_ = 1;
    }
    phase_ = phase::stopped;
    signals_.cancel();
    io_.stop();
  });
}

task<void> server::end() {
  if (listener_) listener_->stop();
  co_await drain_workers();
  co_await stop_coordinator();
  http_->stop();
  log_info("stopped");
}

task<void> server::drain_workers() {
  std::size_t left = workers_.size();
  asio::steady_timer all_done(io_, migration::clock::time_point::max());
  for (const auto& one : workers_) {
    asio::co_spawn(io_, one->drain(), [&left, &all_done](std::exception_ptr failed) {
      if (failed) log_error("worker: drain: {}", text_of(failed));
      if (--left == 0) all_done.cancel();
    });
  }
  while (left > 0) co_await all_done.async_wait(asio::as_tuple(asio::use_awaitable));
}

task<void> server::stop_coordinator() {
  coordinator_.stop();
  if (coordinator_tasks_ == 0) co_return;
  coordinator_ended_.expires_after(lost_.empty() ? coordinator_stop_time : std::chrono::seconds(0));
  co_await coordinator_ended_.async_wait(asio::as_tuple(asio::use_awaitable));
  if (coordinator_tasks_ == 0) co_return;
  if (lost_.empty()) log_warning("coordinator: did not stop within {} s; its migrations go on at the next start", coordinator_stop_time.count());
  // Its coroutines still refer to what the destructors would take away.
  _exit(exit_code_);
}

health server::state_of_health() const {
  if (!lost_.empty()) return {false, "catalog: " + lost_};
  if (phase_ != phase::serving) return {false, phase_ == phase::starting ? "starting" : "draining"};
  const auto well = fmt::format("ok generation={}", coordinator_.map()->number().value);
  const auto term = coordinator_.news();
  if (term.now == migration::term_news::state::held) return {true, well};
  return {true, fmt::format("{} catalog: lost for {:.0f} s, the term is {}: {}", well, term.away_seconds, migration::to_string(term.now), term.trouble)};
}

http_server::answers server::http_answers() {
  return {[this] { return state_of_health(); }, [this] { return metrics_text(); }};
}

task<std::string> server::metrics_text() {
  figures now;
  now.of_workers = co_await sum_counters(workers_);
  now.workers = workers_.size();
  now.migrations = coordinator_.read_counts();
  now.term = coordinator_.news();
  now.of_pools = co_await sum_load(workers_);
  if (coordinator_tasks_ > 0) now.moves = co_await coordinator_.read_migrations();
  if (const auto map = coordinator_.map()) {
    now.generation = map->number().value;
    for (const auto& shard : map->shards()) now.shards.push_back(shard.name);
  }
  now.process = read_process();
  co_return scrape(now).text();
}

}  // namespace proxy
