// The admin console behind database `pgrotor`: text in, a table out. A session that logged in to it hands every simple query here.
// Each worker's sessions call it from their own thread; migration verbs hop to the coordinator, SHOW CLIENTS/POOLS/SERVERS to the
// workers. Keeps no state of its own.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "migration/coordinator/coordinator.h"
#include "migration/plan/commands.h"
#include "proxy/console/admin_parser.h"
#include "proxy/console/process_control.h"
#include "proxy/session/console.h"

namespace proxy {

class worker;

class admin final : public console {
 public:
  admin(process_control&, migration::coordinator&, std::span<const std::unique_ptr<worker>>);
  migration::task<migration::answer> execute(std::string sql) override;
  migration::column_list columns(const std::string& sql) const override;

 private:
  migration::task<migration::answer> show(proxy_shown);
  migration::task<migration::answer> show_of_workers(std::string what);
  migration::task<migration::answer> show_stats();
  migration::task<migration::answer> run_pool_verb(pool_verb);
  migration::task<migration::answer> run_process_verb(process_verb);
  migration::task<migration::answer> run_test_command(test_command);

  process_control& process_;
  migration::coordinator& coordinator_;
  std::span<const std::unique_ptr<worker>> workers_;
};

}  // namespace proxy
