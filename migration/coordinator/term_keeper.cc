#include "migration/coordinator/term_keeper.h"

#include <algorithm>
#include <utility>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <fmt/format.h>

#include "migration/base/log.h"
#include "migration/base/task.h"

namespace migration {
namespace {

constexpr milliseconds longest_period{1'000}, first_pause{50}, longest_pause{1'000}, shortest_answer_time{1'000};
constexpr milliseconds nearly_over{100};  // somebody may have seen it run out by now

// Several renewals fit into a lease, so that one lost connection does not let it run out.
milliseconds period_of(milliseconds lease) { return std::min(lease / 5, longest_period); }
milliseconds answer_time(milliseconds lease) { return std::max(lease / 3, shortest_answer_time); }

}  // namespace

term_keeper::term_keeper(engine& e) : engine_(e), wake_(e.executor), pause_(first_pause) {}

task<void> term_keeper::run() {
  while (!ending_) {
    co_await round();
    const bool well = trouble_.empty();
    pause_ = well ? first_pause : std::min(pause_ * 2, longest_pause);
    wake_.expires_after(well ? period_of(engine_.owner.lease) : jittered(pause_));
    if (!ending_) co_await wake_.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
  }
  try {
    co_await open();
    pg::text_params params{engine_.owner.process};
    co_await connection_->exec("SELECT pgrotor.end_term($1)", std::move(params), answer_time(engine_.owner.lease));
  } catch (const pg::sql_error& error) {
    log_warning("{}; the lease was not given back", error.what());
  }
}

void term_keeper::give_back() {
  ending_ = true;
  wake_.cancel();
}

task<void> term_keeper::round() {
  std::string trouble;
  try {
    co_await renew();
  } catch (const pg::sql_error& error) {
    trouble = error.what();
    connection_.reset();
  } catch (const superseded& error) {
    engine_.lease->renew({});
    engine_.tell([&error](term_news& news) {
      news.now = term_news::state::lost;
      news.trouble = error.what();
    });
    throw;
  }
  note(trouble);
  if (trouble.empty() && std::exchange(lapsed_, false)) co_await engine_.gates.lease_renewed();
  co_await engine_.ping_catalog();
}

task<void> term_keeper::open() {
  if (connection_ && !connection_->broken()) co_return;
  auto options = engine_.catalog_options();
  options.application_name = "pgrotor term " + engine_.owner.process;
  options.timeout = answer_time(engine_.owner.lease);
  connection_ = co_await pg::connection::open(engine_.executor, std::move(options));
}

task<void> term_keeper::renew() {
  co_await open();
  const auto sent = boottime_now();
  pg::text_params params{engine_.owner.process, std::to_string(engine_.owner.lease.count())};
  const auto renewed = co_await connection_->exec("SELECT pgrotor.renew_term($1, $2::bigint * interval '1 ms')", std::move(params));
  if (!renewed.boolean(0, 0)) {
    const auto who = co_await connection_->query("SELECT format('%s by %s', c.epoch, l.holder) FROM pgrotor.coordinator c, pgrotor.lease l");
    throw superseded(fmt::format("another pgrotor has begun term {}", who.get(0, 0)));
  }
  lapsed_ = lapsed_ || engine_.lease->left() < nearly_over;
  engine_.lease->renew(sent + engine_.owner.lease);
}

// One line when something changes, not one a second.
void term_keeper::note(const std::string& trouble) {
  if (!trouble.empty() && trouble_.empty()) log_warning("{}; traffic goes on under the cached map, it is tried again", trouble);
  if (trouble.empty() && !trouble_.empty()) log_info("catalog: answers again, the term goes on");
  trouble_ = trouble;
  if (!engine_.lease->runs() && !std::exchange(lapsed_, true)) {
    log_error("catalog: the lease has run out: statements on keys that are being moved wait until it can be renewed");
  }
  const bool away = engine_.catalog_lost();
  engine_.tell([&trouble, away](term_news& news) {
    news.catalog_up = trouble.empty() && !away;
    news.trouble = trouble.empty() && away ? "it answers, and the coordinator connects again" : trouble;
  });
}

}  // namespace migration
