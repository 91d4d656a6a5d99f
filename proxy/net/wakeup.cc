#include "proxy/net/wakeup.h"

#include <utility>
#include <vector>

#include <boost/asio/post.hpp>

namespace proxy {

namespace asio = boost::asio;

// All wakeups of an io_context that somebody waits on. A waiting coroutine owns what it waits on, which owns the coroutine: whoever
// still waits when the io_context goes away is destroyed from here.
class waiting_room final : public asio::execution_context::service {
 public:
  using key_type = waiting_room;
  static inline asio::execution_context::id id;
  explicit waiting_room(asio::execution_context& io) : service(io) {}

  void enter(wakeup& one) noexcept {
    one.next_ = std::exchange(first_, &one);
    if (one.next_) one.next_->previous_ = &one;
  }
  void leave(wakeup& one) noexcept {
    (one.previous_ ? one.previous_->next_ : first_) = one.next_;
    if (one.next_) one.next_->previous_ = one.previous_;
    one.next_ = one.previous_ = nullptr;
  }

 private:
  void shutdown() override {
    while (first_) first_->leave();
  }
  wakeup* first_ = nullptr;
};

// One timer for all deadlines of a wakeup. It is set again only when a deadline is earlier than what it is set to; one that rings for
// a wait that is over makes the waiter look at its own deadline.
struct wakeup::alarm {
  explicit alarm(asio::io_context& io) : timer(io) {}
  asio::steady_timer timer;
  wakeup* owner = nullptr;
  clock::time_point rings_at = clock::time_point::max();
};

wakeup::wakeup(asio::io_context& io) : io_(io), room_(asio::use_service<waiting_room>(io)) {}

wakeup::~wakeup() {
  if (waiter_) leave();
  forget_alarm();
}

void wakeup::forget_alarm() noexcept {
  if (alarm_) alarm_->owner = nullptr;
  alarm_.reset();
}

void wakeup::enter(handler who) {
  waiter_.emplace(std::move(who));
  room_.enter(*this);
}

wakeup::handler wakeup::leave() {
  room_.leave(*this);
  handler who(std::move(*waiter_));
  waiter_.reset();
  return who;
}

void wakeup::resume() {
  if (!waiter_) return;
  auto who = leave();
  who();
}

void wakeup::notify() {
  notified_ = true;
  if (!waiter_) return;
  asio::post(io_, [who = leave()]() mutable { who(); });
}

void wakeup::on_ready() {
  notified_ = true;
  resume();
}

void wakeup::set_alarm(clock::time_point deadline) {
  if (!alarm_) {
    alarm_ = std::make_shared<alarm>(io_);
    alarm_->owner = this;
  }
  if (alarm_->rings_at <= deadline) return;
  alarm_->rings_at = deadline;
  alarm_->timer.expires_at(deadline);
  alarm_->timer.async_wait([a = alarm_](boost::system::error_code cancelled) {
    if (cancelled || !a->owner) return;
    a->rings_at = clock::time_point::max();
    a->owner->resume();
  });
}

task<bool> wakeup::wait(clock::time_point deadline) {
  while (!notified_) {
    if (deadline != clock::time_point::max()) {
      if (clock::now() >= deadline) co_return false;
      set_alarm(deadline);
    }
    co_await asio::async_initiate<const asio::use_awaitable_t<>&, void()>([this](auto who) { enter(std::move(who)); }, asio::use_awaitable);
  }
  notified_ = false;
  co_return true;
}

}  // namespace proxy
