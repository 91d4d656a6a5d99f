#include <doctest/doctest.h>

#include <vector>

#include "proxy/net/deadlines.h"

using namespace std::chrono_literals;
using proxy::deadline_list;
using proxy::timed;

namespace {

struct heard {
  timed kind;
  int who;
  bool operator==(const heard&) const = default;
};
std::vector<heard> told;

struct client final : proxy::timed_client {
  explicit client(int number_in) : number(number_in) {}
  void time_is_up(timed kind) noexcept override { told.push_back({kind, number}); }
  const int number;
};

std::vector<heard> tick(deadline_list& list, deadline_list::clock::time_point now) {
  told.clear();
  list.tick(now);
  return told;
}

}  // namespace

TEST_CASE("deadlines: each kind has its own time, and who expires is told once") {
  deadline_list list;
  list.set(timed::statement, 100ms);
  list.set(timed::client_idle, 300ms);
  const auto start = deadline_list::clock::now();
  client first(1), second(2), third(3);
  deadline_list::place a(first), b(second), c(third);
  list.start(timed::client_idle, a, start);
  list.start(timed::statement, b, start + 10ms);
  list.start(timed::statement, c, start + 20ms);
  CHECK(tick(list, start + 109ms).empty());
  CHECK(tick(list, start + 110ms) == std::vector<heard>{{timed::statement, 2}});
  list.start(timed::client_idle, c, start + 115ms);  // its statement ended in time
  CHECK(tick(list, start + 200ms).empty());
  CHECK(tick(list, start + 400ms) == std::vector<heard>{{timed::client_idle, 1}});
  CHECK(tick(list, start + 415ms) == std::vector<heard>{{timed::client_idle, 3}});
  CHECK(tick(list, start + 1h).empty());
}

TEST_CASE("deadlines: without a time nothing is kept, and a place that goes leaves its list") {
  deadline_list list;
  const auto start = deadline_list::clock::now();
  client first(1), second(2);
  deadline_list::place a(first);
  list.start(timed::transaction, a, start);
  CHECK_FALSE(a.is_linked());
  list.set(timed::transaction, 50ms);
  list.start(timed::transaction, a, start);
  {
    deadline_list::place gone(second);
    list.start(timed::transaction, gone, start);
  }
  list.set(timed::transaction, 20ms);  // RELOAD: those under way have the new time
  CHECK(tick(list, start + 20ms) == std::vector<heard>{{timed::transaction, 1}});
  CHECK_FALSE(a.is_linked());
}

TEST_CASE("deadlines: a client's own time counts where it is the shorter one, and they come by their ends") {
  deadline_list list;
  list.set(timed::client_idle, 300ms);
  const auto start = deadline_list::clock::now();
  client first(1), second(2), third(3), fourth(4);
  deadline_list::place a(first), b(second), c(third), d(fourth);
  list.start(timed::client_idle, a, start, 200ms);
  list.start(timed::client_idle, b, start, 500ms);
  list.start(timed::idle_in_transaction, c, start, 100ms);
  list.start(timed::idle_in_transaction, d, start, 50ms);
  CHECK(a.is_linked());
  d.unlink();
  CHECK_FALSE(d.is_linked());
  CHECK(tick(list, start + 99ms).empty());
  CHECK(tick(list, start + 100ms) == std::vector<heard>{{timed::idle_in_transaction, 3}});
  list.start(timed::client_idle, c, start + 100ms, 20ms);
  CHECK(tick(list, start + 200ms) == std::vector<heard>{{timed::client_idle, 3}, {timed::client_idle, 1}});
  CHECK(tick(list, start + 300ms) == std::vector<heard>{{timed::client_idle, 2}});
}
