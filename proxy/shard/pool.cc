#include "proxy/shard/pool.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "proxy/config/errors.h"
#include "proxy/config/log.h"

namespace proxy {

namespace {
constexpr auto pause_after_refusal = std::chrono::milliseconds(250);
// A connection that answered so recently is not asked whether it is still there: its end would be found by the reactor just as soon.
constexpr auto trusted_time = std::chrono::milliseconds(20);
}  // namespace

pool::pool(boost::asio::io_context& io, pool_key key, pool_limits limits, counters& counted, permit_desk& desk, const shard_watch& shard,
           server_keeper& keeper)
    : io_(io), key_(std::move(key)), owner_{key_.user, key_.database}, limits_(std::move(limits)), counters_(counted), desk_(desk),
      account_(desk.join(owner_, *this)),
      shard_(shard), keeper_(keeper) {}

pool::~pool() { desk_.leave(owner_, *this); }

std::size_t pool::total() const noexcept { return std::accumulate(counts_.begin(), counts_.end(), std::size_t{0}) - count(server_status::closed); }

// The only door: counts and the list of servers follow from it.
void pool::set_status(server_connection& server, server_status to) noexcept {
  if (!may_become(server.status_, to)) [[unlikely]]
    log_error("a connection to shard {} became {} although it was {}", server.shard_name, to_string(to), to_string(server.status_));
  --counts_[static_cast<std::size_t>(server.status_)];
  ++counts_[static_cast<std::size_t>(to)];
  server.status_ = to;
  if (to != server_status::closed) return;
  std::erase(servers_, &server);
  --counters_.servers_now;
}

// Nobody is served before those in the queue, while the pool is paused, or by a shard that is down.
bool pool::may_take_idle() const noexcept { return queue_.empty() && !paused_ && (!shard_.down() || lives()); }

bool pool::due_for_check(const server_connection& server, clock::time_point now) const noexcept {
  return limits_.check_after.count() > 0 && now - server.idle_since >= limits_.check_after;
}

server_ptr pool::acquire_idle(const settings_ptr& wanted) {
  if (idle_.empty() || !may_take_idle()) return nullptr;
  const auto now = clock::now();
  return due_for_check(**next_idle(wanted, 0), now) || keeper_.due_for_look(now) ? nullptr : take_idle(wanted, 0, now);
}

task<pool::acquired> pool::acquire(wakeup& wake, const bool& cancelled, const settings_ptr& wanted, std::int32_t sequences_of) {
  acquired found;
  while (may_take_idle()) {
    const auto now = clock::now();
    found.server = take_idle(wanted, sequences_of, now);
    if (!found.server) break;
    const bool check = due_for_check(*found.server, now), look = keeper_.due_for_look(now);
    if (!check && !look) co_return found;
    const bool good = co_await good_after_questions(*found.server, wake, check, look);
    if (good) co_return found;
    discard(std::move(found.server));
  }
  if (const auto* why = shard_.down(); why && !lives()) {
    ++counters_.shard_refusals;
    found.failed = *why;
    co_return found;
  }
  co_return co_await wait_in_queue(wake, cancelled);
}

task<bool> pool::good_after_questions(server_connection& server, wakeup& wake, bool check, bool look) {
  set_status(server, server_status::asked);
  bool good = true;
  if (check) {
    ++counters_.servers_checked;
    good = co_await keeper_.answers(server, limits_.check_query, wake, clock::now() + limits_.connect_timeout);
  }
  if (good && look) good = co_await keeper_.starts_as_now(server, wake, clock::now() + limits_.connect_timeout);
  set_status(server, server_status::in_use);
  co_return good;
}

bool pool::lives() const noexcept { return active() > 0 && clock::now() - last_answer_ < limits_.connect_timeout; }

permit_want pool::wanted() const {
  permit_want lacks;
  if (paused_ || shard_.down() || clock::now() < open_again_) return lacks;
  if (queue_.size() > opening()) {
    lacks.count = queue_.size() - opening();
    lacks.since = queue_.front().since_;
    return lacks;
  }
  const auto target = std::max(limits_.least, warm_.count);
  if (total() < target) lacks.count = target - total();
  if (total() < warm_.count) lacks.since = warm_.since;
  return lacks;
}

void pool::permit_lent() {
  ++counts_[static_cast<std::size_t>(server_status::opening)];
  keeper_.open(clock::now() + limits_.connect_timeout);
}

void pool::opened(open_result result) {
  for (auto* one : warm_.callers) one->notify();
  if (result.server) {
    ++counters_.servers_opened;
    ++counters_.servers_now;
    result.server->home = this;
    result.server->serial = ++next_serial_;
    result.server->shard = key_.shard;
    known_.let_in = clock::now();
    result.server->reported = known_.reported = name_values::make(result.server->parameters);
    servers_.push_back(result.server.get());
    return hand_over(std::move(result.server));
  }
  --counts_[static_cast<std::size_t>(server_status::opening)];
  ++counters_.servers_failed;
  open_again_ = clock::now() + pause_after_refusal;
  if (!lives()) fail_queue(result.failed);  // who waited for it reads the shard's own words
  if (result.unreachable) keeper_.unreachable(result.failed);
  desk_.closed(owner_);
}

// While it is asked others are let in as before.
task<std::optional<protocol::notice>> pool::refuses_login(std::chrono::milliseconds recheck, wakeup& wake) {
  const auto now = clock::now();
  if (now - known_.let_in < recheck || paused_ || shard_.down()) co_return std::nullopt;
  known_.let_in = now;
  ++known_.logins_asked;
  auto why = co_await keeper_.refuses_login(wake, now + limits_.connect_timeout);
  --known_.logins_asked;
  if (why) known_.let_in = {};
  co_return why;
}

task<pool::acquired> pool::wait_in_queue(wakeup& wake, const bool& cancelled) {
  place mine(wake);
  enter(mine);
  const auto deadline = mine.since_ + limits_.wait;
  bool in_time = true;
  while (!mine.settled() && !cancelled && in_time) in_time = co_await wake.wait(deadline);
  co_return mine.leave(cancelled);
}

void pool::enter(place& one) {
  ++counters_.pool_waits;
  one.pool_ = this;
  one.queued_ = true;
  one.since_ = clock::now();
  queue_.push_back(one);
  desk_.wants_more(owner_);
}

pool::acquired pool::place::leave(bool cancelled) {
  acquired result;
  if (given_) {
    pool_->set_status(*given_, server_status::in_use);
    result.server = std::move(given_);
  } else if (failed_) {
    result.failed = std::move(*failed_);
  } else {
    pool_->count_wait(since_);
    result.failed = cancelled ? make_error(sqlstate::query_canceled, "canceling statement due to user request") : pool_->waited_in_vain();
    if (!cancelled) ++pool_->counters_.pool_timeouts;
  }
  abandon();
  return result;
}

void pool::place::abandon() noexcept {
  if (is_linked()) (queued_ ? pool_->queue_ : pool_->settled_).erase(boost::intrusive::list<place>::s_iterator_to(*this));
  queued_ = false;
  if (given_) pool_->discard(std::move(given_));
  failed_.reset();
}

protocol::notice pool::waited_in_vain() const {
  return make_error(sqlstate::too_many_connections, fmt::format("no server connection to shard {} became free in time", keeper_.shard_name()),
                    fmt::format("Of {} connections of user {} {} are busy and {} are being opened; it waited {} ms.", limits_.size, key_.user,
                                total() - opening() - idle(), opening(), limits_.wait.count()),
                    "Shorten transactions, or raise [pool] size or wait_ms.");
}

void pool::count_wait(clock::time_point since) {
  counters_.pool_wait_us += static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(clock::now() - since).count());
}

std::vector<server_ptr>::iterator pool::next_idle(const settings_ptr& wanted, std::int32_t sequences_of) noexcept {
  const auto usual = limits_.last_used_first ? std::prev(idle_.end()) : idle_.begin();
  const auto first = [&](auto fits) {
    const auto found = std::find_if(idle_.rbegin(), idle_.rend(), fits);
    return found == idle_.rend() ? usual : std::prev(found.base());
  };
  if (sequences_of != 0) return first([&](const server_ptr& one) { return one->sequences_of == sequences_of; });
  if ((*usual)->applied == wanted) return usual;
  return first([&](const server_ptr& one) { return one->applied == wanted; });
}

server_ptr pool::take_idle(const settings_ptr& wanted, std::int32_t sequences_of, clock::time_point now) {
  while (!idle_.empty()) {
    const auto next = next_idle(wanted, sequences_of);
    auto server = std::move(*next);
    idle_.erase(next);
    if (!ends_itself(*server, now) && keeper_.quiet(*server, now - server->idle_since < trusted_time)) {
      set_status(*server, server_status::in_use);
      return server;
    }
    discard(std::move(server));
  }
  return nullptr;
}

bool pool::too_old(const server_connection& server, clock::time_point now) const noexcept {
  return limits_.lifetime.count() > 0 && now - server.opened > limits_.lifetime;
}

// By its idle_session_timeout, perhaps while the statement is on its way to it.
bool pool::ends_itself(const server_connection& server, clock::time_point now) noexcept {
  const auto limit = timeouts_.of(server.applied, known_.timeouts).idle_session;
  return limit.count() > 0 && now - server.idle_since > limit / 2;
}

void pool::release(server_ptr server) {
  server->socket.listen(nullptr);
  server->idle_since = last_answer_ = clock::now();
  if (server->unusable || server->leaving || too_old(*server, server->idle_since)) return discard(std::move(server));
  server->answers.clear();
  server->in.release_if_empty();
  if (!keeper_.due_for_look(server->idle_since)) return hand_over(std::move(server));
  boost::asio::co_spawn(io_, look_and_release(std::move(server)), [](std::exception_ptr failure) { log_failure("looking at settings", failure); });
}

task<void> pool::look_and_release(server_ptr server) {
  wakeup wake(io_);
  const bool good = co_await good_after_questions(*server, wake, false, true);
  if (!good || server->leaving) co_return discard(std::move(server));
  hand_over(std::move(server));
}

void pool::settle_first() {
  auto& first = queue_.front();
  queue_.pop_front();
  count_wait(first.since_);
  first.queued_ = false;
  settled_.push_back(first);
  tell_later();
}

void pool::tell_later() {
  if (!std::exchange(telling_, true)) boost::asio::post(io_, [this] { tell_settled(); });
}

// Those that this settles have to wait for their turn.
void pool::tell_settled() {
  for (auto left = settled_.size(); left > 0 && !settled_.empty(); --left) {
    auto& one = settled_.front();
    settled_.pop_front();
    one.who_.on_ready();
  }
  telling_ = false;
  if (!settled_.empty()) tell_later();
}

// To the first in the queue, to another worker, or idle.
void pool::hand_over(server_ptr server) {
  const auto first = queue_.empty() ? permit_want::nobody_waits : queue_.front().since_;
  if (paused_ || desk_.must_give(account_, *this, first)) return discard(std::move(server));
  if (queue_.empty()) {
    if (!keeper_.watch(*server)) return discard(std::move(server));
    set_status(*server, server_status::idle);
    return idle_.push_back(std::move(server));
  }
  if (!keeper_.hold(*server)) return discard(std::move(server));
  set_status(*server, server_status::given);
  queue_.front().given_ = std::move(server);
  settle_first();
}

// Its permit serves the next one here, or goes back.
void pool::discard(server_ptr server) noexcept {
  set_status(*server, server_status::closed);
  server.reset();
  desk_.closed(owner_);
}

// What kept one from connecting keeps the others: they need not try one after the other.
void pool::fail_queue(const protocol::notice& why) {
  while (!queue_.empty()) {
    queue_.front().failed_ = std::make_unique<protocol::notice>(why);
    settle_first();
  }
}

void pool::shard_changed() {
  const auto* why = shard_.down();
  if (why && !lives()) fail_queue(*why);
  if (why) return;
  open_again_ = {};
  desk_.wants_more(owner_);
}

task<void> pool::warm(std::size_t count, clock::time_point deadline) {
  wakeup wake(io_);
  warm_.count = std::min(count, limits_.size);
  warm_.since = clock::now();
  warm_.callers.push_back(&wake);
  desk_.wants_more(owner_);
  const auto failed = counters_.servers_failed;
  bool in_time = true;
  while (total() - opening() < warm_.count && counters_.servers_failed == failed && in_time) in_time = co_await wake.wait(deadline);
  std::erase(warm_.callers, &wake);
  if (warm_.callers.empty()) warm_.count = 0;
}

void server_connection::on_ready() {
  if (!home) return;
  if (!socket.quiet()) return home->idle_server_spoke(*this);
  socket.not_readable();  // the event belongs to what was read before
  socket.watch_read();
}

void pool::idle_server_spoke(server_connection& server) {
  const auto found = std::find_if(idle_.begin(), idle_.end(), [&](const server_ptr& one) { return one.get() == &server; });
  if (found == idle_.end()) return;
  auto gone = std::move(*found);
  idle_.erase(found);
  discard(std::move(gone));
}

clock::time_point pool::idle_since() const { return idle_.empty() ? clock::time_point::max() : idle_.front()->idle_since; }

// The desk gives its permit back itself.
void pool::close_one_idle() {
  set_status(*idle_.front(), server_status::closed);
  idle_.erase(idle_.begin());
}

void pool::close_idle_if(auto condition) {
  std::vector<server_ptr> closing;
  for (auto one = idle_.begin(); one != idle_.end();) {
    if (!condition(*one)) {
      ++one;
      continue;
    }
    closing.push_back(std::move(*one));
    one = idle_.erase(one);
  }
  for (auto& one : closing) discard(std::move(one));
}

void pool::close_idle() {
  close_idle_if([](const server_ptr&) { return true; });
}

void pool::set_paused(bool paused) {
  const bool resumed = paused_ && !paused;
  paused_ = paused;
  if (resumed) desk_.wants_more(owner_);
}

void pool::reconnect() {
  for (auto* one : servers_) one->leaving = true;
  known_.defaults = {};  // sessions may start with others
  keeper_.start_anew();
  close_idle();
}

void pool::tick(clock::time_point now) {
  close_idle_if([&](const server_ptr& one) { return too_old(*one, now); });
  auto surplus = total() > limits_.least ? total() - limits_.least : 0;
  if (limits_.idle_timeout.count() == 0) surplus = 0;
  close_idle_if([&](const server_ptr& one) {
    if (surplus == 0 || now - one->idle_since < limits_.idle_timeout) return false;
    --surplus;
    return true;
  });
}

std::chrono::microseconds pool::longest_wait() const noexcept {
  if (queue_.empty()) return {};
  return std::chrono::duration_cast<std::chrono::microseconds>(clock::now() - queue_.front().since_);
}

}  // namespace proxy
