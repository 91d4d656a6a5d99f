#include "proxy/shard/pool.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <fmt/format.h>

#include <algorithm>

#include "proxy/config/errors.h"
#include "proxy/config/log.h"
#include "proxy/config/log.h"

namespace proxy {

namespace {
constexpr auto pause_after_refusal = std::chrono::milliseconds(250);
// A connection that answered so recently is not asked whether it is still there: its end would be found by the reactor just as soon.
constexpr auto trusted_time = std::chrono::milliseconds(20);
}  // namespace

pool::pool(boost::asio::io_context& io, pool_key key, pool_limits limits, counters& counted, permit_desk& desk, shard_watch& shard,
           standard_ptr standard)
    : io_(io), key_(std::move(key)), owner_{key_.user, key_.database}, limits_(std::move(limits)), counters_(counted), desk_(desk),
      account_(desk.join(owner_, *this)),
      shard_(shard), standard_(std::move(standard)) {
  standard_->pools.push_back(this);
}

pool::~pool() {
  std::erase(standard_->pools, this);
  desk_.leave(owner_, *this);
}

// Nobody is served before those in the queue, while the pool is paused, or by a shard that is down.
bool pool::may_take_idle() const noexcept { return queue_.empty() && !paused_ && (!shard_.down() || lives()); }

bool pool::due_for_check(const server_connection& server, clock::time_point now) const noexcept {
  return limits_.check_after.count() > 0 && now - server.idle_since >= limits_.check_after;
}

server_ptr pool::acquire_idle(const settings_ptr& wanted) {
  if (idle_.empty() || !may_take_idle()) return nullptr;
  const auto now = clock::now();
  return due_for_check(**next_idle(wanted, 0), now) || due_for_look(now) ? nullptr : take_idle(wanted, 0, now);
}

task<pool::acquired> pool::acquire(wakeup& wake, const bool& cancelled, const settings_ptr& wanted, std::int32_t sequences_of) {
  acquired found;
  while (may_take_idle()) {
    const auto now = clock::now();
    found.server = take_idle(wanted, sequences_of, now);
    if (!found.server) break;
    bool good = true;
    if (due_for_check(*found.server, now)) good = co_await still_answers(*found.server, wake);
    if (good && due_for_look(now)) good = co_await started_as_now(*found.server, wake);
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

// It had no answer while others may have: what keeps it from answering keeps new connections too.
task<bool> pool::still_answers(server_connection& server, wakeup& wake) {
  ++counters_.servers_checked;
  server.socket.listen(&wake);
  const auto how = co_await run_alone(server, limits_.check_query, wake, clock::now() + limits_.connect_timeout);
  if (how == alone_result::answered) co_return true;
  if (how == alone_result::silent)
    shard_.failed(make_error(sqlstate::connection_failure, fmt::format("shard {} does not answer", target_.shard_name)), target_);
  co_return false;
}

bool pool::lives() const noexcept { return !attached_.empty() && clock::now() - last_answer_ < limits_.connect_timeout; }

permit_want pool::wanted() const {
  permit_want lacks;
  if (paused_ || shard_.down() || clock::now() < open_again_) return lacks;
  if (queue_.size() > opening_) {
    lacks.count = queue_.size() - opening_;
    lacks.since = queue_.front().since_;
    return lacks;
  }
  const auto target = std::max(limits_.least, warm_);
  if (total_ < target) lacks.count = target - total_;
  if (total_ < warm_) lacks.since = warm_since_;
  return lacks;
}

void pool::permit_lent() {
  ++total_;
  ++opening_;
  boost::asio::co_spawn(io_, open(), [](std::exception_ptr failure) { log_failure("opening a connection", failure); });
}

task<void> pool::open() {
  wakeup wake(io_);
  open_result result;
  try {
    result = co_await open_equal(wake);
  } catch (const std::exception& failure) {
    result.failed = make_error(sqlstate::internal_error, fmt::format("cannot log in to shard {}", target_.shard_name), failure.what());
  }
  opened(std::move(result));
}

void pool::opened(open_result result) {
  --opening_;
  for (auto* one : warming_) one->notify();
  if (result.server) {
    ++counters_.servers_opened;
    ++counters_.servers_now;
    result.server->home = this;
    result.server->serial = ++next_serial_;
    result.server->shard = key_.shard;
    result.server->reported = reported_ = name_values::make(result.server->parameters);
    return hand_over(std::move(result.server));
  }
  --total_;
  ++counters_.servers_failed;
  log_warning("shard {}: {} ({})", target_.shard_name, result.failed.message, result.failed.detail);
  open_again_ = clock::now() + pause_after_refusal;
  if (!lives()) fail_queue(result.failed);  // who waited for it reads the shard's own words
  if (result.unreachable) shard_.failed(result.failed, target_);
  desk_.closed(owner_);
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
    pool_->attached_.push_back(given_.get());
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
  return make_error(sqlstate::too_many_connections, fmt::format("no server connection to shard {} became free in time", target_.shard_name),
                    fmt::format("Of {} connections of user {} {} are busy and {} are being opened; it waited {} ms.", limits_.size, key_.user,
                                total_ - opening_ - idle_.size(), opening_, limits_.wait.count()),
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
    const bool just_used = now - server->idle_since < trusted_time;
    if ((just_used && !server->socket.readable()) || server->socket.quiet()) {
      attached_.push_back(server.get());
      return server;
    }
    server.reset();
    forget_closed(1);
  }
  return nullptr;
}

bool pool::too_old(const server_connection& server, clock::time_point now) const noexcept {
  return limits_.lifetime.count() > 0 && now - server.opened > limits_.lifetime;
}

void pool::release(server_ptr server) {
  server->idle_since = last_answer_ = clock::now();
  if (server->unusable || too_old(*server, server->idle_since)) return discard(std::move(server));
  server->answers.clear();
  server->in.release_if_empty();
  if (due_for_look(server->idle_since))
    return boost::asio::co_spawn(io_, look_and_release(std::move(server)), [](std::exception_ptr failure) { log_failure("looking at settings", failure); });
  std::erase(attached_, server.get());
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
  if (paused_ || server->socket.has_ended() || desk_.must_give(account_, *this, first)) {
    server.reset();
    return forget_closed(1);
  }
  if (!queue_.empty()) {
    server->socket.listen(nullptr);
    queue_.front().given_ = std::move(server);
    return settle_first();
  }
  server->socket.listen(server.get());
  // Over TLS or a Unix socket only a read would have told that nothing is left.
  if (server->socket.readable()) {
    if (!server->socket.quiet()) return server.reset(), forget_closed(1);
    server->socket.not_readable();
  }
  server->socket.watch_read();
  idle_.push_back(std::move(server));
}

void pool::discard(server_ptr server) noexcept {
  std::erase(attached_, server.get());
  server->socket.close();
  server.reset();
  forget_closed(1);
}

void pool::forget_closed(std::size_t count) noexcept {
  total_ -= count;
  counters_.servers_now -= count;
  for (; count > 0; --count) desk_.closed(owner_);
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
  warm_ = std::min(count, limits_.size);
  warm_since_ = clock::now();
  warming_.push_back(&wake);
  desk_.wants_more(owner_);
  const auto failed = counters_.servers_failed;
  bool in_time = true;
  while (total_ - opening_ < warm_ && counters_.servers_failed == failed && in_time) in_time = co_await wake.wait(deadline);
  std::erase(warming_, &wake);
  if (warming_.empty()) warm_ = 0;
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
  idle_.erase(found);
  forget_closed(1);
}

clock::time_point pool::idle_since() const { return idle_.empty() ? clock::time_point::max() : idle_.front()->idle_since; }

// The desk gives its permit back itself.
void pool::close_one_idle() {
  idle_.erase(idle_.begin());
  --total_;
  --counters_.servers_now;
}

void pool::close_idle_if(auto condition) { forget_closed(std::erase_if(idle_, condition)); }

void pool::close_idle() {
  close_idle_if([](const server_ptr&) { return true; });
}

void pool::set_paused(bool paused) {
  const bool resumed = paused_ && !paused;
  paused_ = paused;
  if (resumed) desk_.wants_more(owner_);
}

void pool::reconnect() {
  for (auto* one : attached_) one->unusable = true;
  given_.clear();
  close_idle();
}

void pool::tick(clock::time_point now) {
  close_idle_if([&](const server_ptr& one) { return too_old(*one, now); });
  auto surplus = total_ > limits_.least ? total_ - limits_.least : 0;
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
