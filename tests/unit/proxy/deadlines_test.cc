#include <doctest/doctest.h>

#include <functional>
#include <memory>
#include <vector>

#include "proxy/deadlines.h"

using namespace std::chrono_literals;
using proxy::deadline_list;
using proxy::timed;

namespace {

// Places know their session by address only: a list never looks into it.
proxy::session& nobody(int number) { return *reinterpret_cast<proxy::session*>(static_cast<std::uintptr_t>(0x1000) * (static_cast<unsigned>(number) + 1)); }

struct heard {
  timed kind;
  proxy::session* who;
  bool operator==(const heard&) const = default;
};

std::vector<heard> tick(deadline_list& list, deadline_list::clock::time_point now) {
  std::vector<heard> all;
  list.tick(now, [&all](timed kind, proxy::session& who) { all.push_back({kind, &who}); });
  return all;
}

}  // namespace

TEST_CASE("deadlines: each kind has its own time, and who expires is told once") {
  deadline_list list;
  list.set(timed::statement, 100ms);
  list.set(timed::client_idle, 300ms);
  const auto start = deadline_list::clock::now();
  deadline_list::place a(nobody(1)), b(nobody(2)), c(nobody(3));
  list.start(timed::client_idle, a, start);
  list.start(timed::statement, b, start + 10ms);
  list.start(timed::statement, c, start + 20ms);
  CHECK(tick(list, start + 109ms).empty());
  CHECK(tick(list, start + 110ms) == std::vector<heard>{{timed::statement, &nobody(2)}});
  list.start(timed::client_idle, c, start + 115ms);  // its statement ended in time
  CHECK(tick(list, start + 200ms).empty());
  CHECK(tick(list, start + 400ms) == std::vector<heard>{{timed::client_idle, &nobody(1)}});
  CHECK(tick(list, start + 415ms) == std::vector<heard>{{timed::client_idle, &nobody(3)}});
  CHECK(tick(list, start + 1h).empty());
}

TEST_CASE("deadlines: without a time nothing is kept, and a place that goes leaves its list") {
  deadline_list list;
  const auto start = deadline_list::clock::now();
  deadline_list::place a(nobody(1));
  list.start(timed::transaction, a, start);
  CHECK_FALSE(a.is_linked());
  list.set(timed::transaction, 50ms);
  list.start(timed::transaction, a, start);
  {
    deadline_list::place gone(nobody(2));
    list.start(timed::transaction, gone, start);
  }
  list.set(timed::transaction, 20ms);  // RELOAD: those under way have the new time
  CHECK(tick(list, start + 20ms) == std::vector<heard>{{timed::transaction, &nobody(1)}});
  CHECK_FALSE(a.is_linked());
}
