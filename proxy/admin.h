// The admin console behind database `pgrotor`: text in, a table out. A session that logged in to it hands every simple query here.
// Each worker's sessions call it from their own thread; migration verbs hop to the coordinator, SHOW CLIENTS/POOLS/SERVERS to the workers.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "migration/commands.h"
#include "migration/coordinator.h"
#include "proxy/config.h"

namespace proxy {

class worker;

class admin {
 public:
  admin(const config&, migration::coordinator&, std::span<const std::unique_ptr<worker>>);
  // One statement. Throws migration::refused (sqlstate, message, detail, hint: unknown commands name the nearest ones) or sql_error.
  migration::task<migration::answer> execute(std::string sql);

 private:
  const config& config_;
  migration::coordinator& coordinator_;
  std::span<const std::unique_ptr<worker>> workers_;
};

}  // namespace proxy
