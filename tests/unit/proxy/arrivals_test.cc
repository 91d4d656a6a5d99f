#include "proxy/worker/arrivals.h"

#include <doctest/doctest.h>

TEST_CASE("arrivals: the oldest of the network with the most makes room") {
  proxy::arrivals waiting;
  CHECK_FALSE(waiting.next_to_go());
  waiting.came(1, 30, 7);  // alone there, and older than all others
  for (std::uint64_t serial = 2; serial <= 5; ++serial) waiting.came(serial, static_cast<std::int32_t>(100 - serial), 9);
  CHECK(waiting.size() == 5);
  CHECK(waiting.next_to_go() == 98);
  waiting.gone(98);
  CHECK(waiting.next_to_go() == 97);
  waiting.gone(95);  // has logged in
  waiting.gone(95);
  waiting.gone(4711);
  waiting.gone(97);
  CHECK(waiting.size() == 2);
  waiting.came(6, 98, 7);
  CHECK(waiting.next_to_go() == 30);
  for (const auto pid : {30, 96, 98}) waiting.gone(pid);
  CHECK(waiting.size() == 0);
  CHECK_FALSE(waiting.next_to_go());
}
