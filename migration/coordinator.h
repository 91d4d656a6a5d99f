// The engine: loads the map, runs migrations through their states, cuts over, cleans up, and answers the admin console. Lives on a
// thread and io_context of its own; talks to proxies only through `gates`. One coordinator per catalog (catalog::open).
#pragma once

#include <memory>
#include <string>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/io_context.hpp>

#include "migration/commands.h"
#include "migration/gates.h"
#include "migration/pg.h"

namespace migration {

struct coordinator_settings {
  std::string catalog_dsn;       // libpq keyword/value string or URI, with user
  std::string shard_user, shard_password;  // the role pgrotor logs in with on every shard (deploy/shard_rights.sql)
  std::string pg_dump = "pg_dump";
  milliseconds operation_timeout{30'000};
  milliseconds cutover_budget{500};   // from closing the gates to the commit point; WITH (max_pause) lowers it
  milliseconds hold_budget{10'000};   // one held statement
  milliseconds poll{50};
};

class coordinator {
 public:
  coordinator(boost::asio::io_context&, coordinator_settings, gates&);
  ~coordinator();

  // Loads map and migrations; gates of sets whose truth is not known yet are closed before the map is published. After it returns
  // the proxy may accept clients. Throws with the reason when catalog or map are unusable.
  task<void> start();
  // Resumes every migration where it stood and runs until stop(). Survives lost connections with back-off.
  task<void> run();
  void stop();

  // Any executor: hops to the coordinator's own. Throws migration::refused or pg::sql_error.
  task<answer> execute(request);

  // The newest map; any thread.
  std::shared_ptr<const routing::shard_map> map() const;
  boost::asio::any_io_executor executor() const;

  // For metrics, any thread.
  struct counts { std::uint64_t active = 0, done = 0, failed = 0, cutovers = 0, cutover_retries = 0; };
  counts read_counts() const noexcept;

 private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

}  // namespace migration
