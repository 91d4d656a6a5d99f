#include "migration/strategy/strangers.h"

#include <algorithm>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <fmt/format.h>

#include "migration/base/log.h"
#include "migration/shard/sql_text.h"

namespace migration {
namespace {

constexpr milliseconds between_looks{500}, shown_for{10'000};

struct side {
  routing::shard_id shard;
  std::unique_ptr<pg::connection> connection;
  std::vector<int> before;  // seen in the last look
};

}  // namespace

struct stranger_watch::watch {
  watch(engine& e, const migration_row& row, const std::vector<moving_table>& tables)
      : shared(e), id(row.id), timer(e.executor),
        sql(fmt::format("SELECT stranger, who FROM pgrotor.strangers({}, {})", row.id, relation_array(tables))) {
    sides[0].shard = row.source;
    sides[1].shard = row.target;
  }

  task<void> run() {
    while (!stopping) {
      for (auto& each : sides) {
        if (!stopping) co_await look(each);
      }
      if (stopping) break;
      timer.expires_after(between_looks);
      co_await timer.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
    }
    for (auto& each : sides) each.connection.reset();
  }

  // A table may not be there yet, or a shard away: the run itself deals with that.
  task<void> look(side& where) {
    try {
      if (!where.connection || where.connection->broken()) where.connection = co_await shared.connect(where.shard);
      const auto found = co_await where.connection->query(sql);
      std::vector<int> now;
      for (int row = 0; row < found.rows(); ++row) {
        const auto pid = static_cast<int>(found.integer(row, 0));
        now.push_back(pid);
        if (std::ranges::find(where.before, pid) != where.before.end()) co_await deal_with(*where.connection, pid, found.str(row, 1));
      }
      where.before = std::move(now);
    } catch (const pg::sql_error& error) {
      where.before.clear();
      log_debug("migration {}: strangers were not looked for: {}", id, error.what());
    }
  }

  task<void> deal_with(pg::connection& connection, int pid, std::string who) {
    std::string outcome;
    if (shared.settings.end_strangers) {
      try {
        co_await connection.query(fmt::format("SELECT pg_terminate_backend({})", pid));
        outcome = "; ended";
      } catch (const pg::sql_error& error) {
        if (error.connection_lost) throw;
        const auto role = pg::quote_ident(shared.settings.shard_user);
        outcome = fmt::format("; it could not be ended: {} (GRANT pg_signal_backend TO {})", error.message, role);
      }
    }
    text = fmt::format("a stranger on {} holds a lock of the fence of migration {}: {}{}", connection.where(), id, who, outcome);
    last_seen = clock::now();
    log_warning("{}", text);
  }

  engine& shared;
  const std::uint64_t id;
  boost::asio::steady_timer timer;
  const std::string sql;
  side sides[2];
  std::string text;
  clock::time_point last_seen{};
  bool stopping = false;
};

stranger_watch::~stranger_watch() {
  if (!watch_) return;
  watch_->stopping = true;
  watch_->timer.cancel();
}

void stranger_watch::start(const migration_row& row, const std::vector<moving_table>& tables) {
  if (watch_) return;
  watch_ = std::make_shared<watch>(engine_, row, tables);
  auto running = watch_->run();
  boost::asio::co_spawn(engine_.executor, std::move(running), [kept = watch_](std::exception_ptr error) {
    try {
      if (error) std::rethrow_exception(error);
    } catch (const std::exception& why) {
      log_warning("migration {}: nobody looks for strangers any more: {}", kept->id, why.what());
    }
  });
}

std::string stranger_watch::seen() const {
  return watch_ && !watch_->text.empty() && clock::now() < watch_->last_seen + shown_for ? watch_->text : "";
}

}  // namespace migration
