// The engine: loads the map, runs migrations through their states, cuts over, cleans up, and answers the admin console. Lives on a
// thread and io_context of its own; talks to proxies only through `gates`. One coordinator per catalog (catalog::open).
#pragma once

#include <memory>
#include <string>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/io_context.hpp>

#include "migration/base/task.h"
#include "migration/catalog/term_news.h"
#include "migration/engine/coordinator_settings.h"
#include "migration/plan/commands.h"
#include "migration/plan/gates.h"

namespace migration {

class commit_recovery;  // commit_recovery.h
class prepared_names;   // prepared_names.h

class coordinator {
 public:
  coordinator(boost::asio::io_context&, coordinator_settings, gates&);
  ~coordinator();

  // Loads map and migrations; gates of sets whose truth is not known yet are closed before the map is published. After it returns
  // the proxy may accept clients. Throws with the reason when catalog or map are unusable.
  task<void> start();
  // Resumes every migration where it stood and runs until stop(). Survives lost connections with back-off. Throws superseded.
  task<void> run();
  // Beside run(), from start() on: renews the term, watches the catalog's connection, and throws superseded when another process has
  // begun a term: this one must serve no more. Ends after run(), when the lease has been given back.
  task<void> keep_term();
  void stop();

  // Any executor: hops to the coordinator's own. Throws migration::refused or pg::sql_error.
  task<answer> execute(request);

  // The newest map; any thread.
  std::shared_ptr<const routing::shard_map> map() const;
  boost::asio::any_io_executor executor() const;
  std::shared_ptr<prepared_names> names() const;  // of prepared transactions; any thread
  std::shared_ptr<commit_recovery> recovery() const;  // of transactions over several shards; any thread

  // Connects to a shard and begins the term there; throws sql_error when it is not there, or not what it should be. Coordinator's executor.
  task<void> look_at(routing::shard_id);
  term_news news() const;  // any thread

  // For metrics, any thread.
  struct counts { std::uint64_t active = 0, done = 0, failed = 0, cutovers = 0, cutover_retries = 0, in_doubt = 0; };
  counts read_counts() const noexcept;
  // Of each migration that has not ended, by id. Any executor: hops to the coordinator's own.
  struct migration_figures {
    std::uint64_t id = 0;
    std::string source, target, state;
    double age_seconds = 0, state_seconds = 0;
    std::uint64_t rows_copied = 0, rows_left = 0, backlog_bytes = 0, held_bytes = 0;
    double lag_seconds = 0;
  };
  task<std::vector<migration_figures>> read_migrations();

 private:
  struct impl;
  std::shared_ptr<impl> impl_;  // shared with the migrations that run: they may be there after run() has thrown
};

}  // namespace migration
