// Everything that `pgrotor serve` runs, in the order in which it starts and stops: workers, coordinator, listener; then listener,
// workers, coordinator. Made and run on main's thread, which also answers HTTP and deals clients out to several workers.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>

#include "migration/coordinator/coordinator.h"
#include "proxy/auth/users.h"
#include "proxy/config/config.h"
#include "proxy/console/admin.h"
#include "proxy/console/process_control.h"
#include "proxy/gate/gate.h"
#include "proxy/serve/http.h"
#include "proxy/serve/listener.h"
#include "proxy/worker/worker.h"

namespace proxy {

class server final : public process_control {
 public:
  server(const config&, const users&);
  ~server();
  // Until SIGTERM or SIGINT has been obeyed, or something is broken for good. The exit code.
  int run();

  migration::task<migration::answer> reload() override;
  migration::task<config> configuration() override;
  void shut_down() override;

 private:
  enum class phase { starting, serving, draining, stopped };

  void start_threads();
  void wait_for_signal();
  void on_signal(int number);
  bool offer_tls(std::string& problem);
  void reload_on_signal();
  migration::task<void> start();
  migration::task<void> end();
  migration::task<migration::answer> reload_here();
  migration::task<config> configuration_here();
  migration::task<void> drain_workers();
  migration::task<void> stop_coordinator();
  void begin_shut_down(int exit_code);
  void on_coordinator_end(const std::optional<std::string>& why);
  void run_beside(migration::task<void>);
  migration::task<void> warn_about_shards();
  http_server::answers http_answers();
  health state_of_health() const;
  migration::task<std::string> metrics_text();

  config config_;  // what is in force; main's thread
  phase phase_ = phase::starting;  // main's thread
  int exit_code_ = 0;
  int coordinator_tasks_ = 0;      // that have not ended: its work and its term; main's thread
  std::string lost_;               // why nothing may be served any more
  boost::asio::io_context io_{1}, coordinator_io_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> coordinator_work_;
  boost::asio::signal_set signals_;
  boost::asio::steady_timer coordinator_ended_;  // cancelled when run() has returned
  std::vector<std::unique_ptr<worker>> workers_;
  gate_controller gates_;
  migration::coordinator coordinator_;
  admin admin_;
  std::optional<http_server> http_;
  std::optional<listener> listener_;
  std::thread coordinator_thread_;
  std::size_t next_worker_ = 0;  // of the listener's thread
};

}  // namespace proxy
