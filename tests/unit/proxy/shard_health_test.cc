#include <doctest/doctest.h>

#include "proxy/worker/shard_health.h"

using proxy::shard_health;
using state = shard_health::state;

TEST_CASE("shard_health: only the first failure is news, and the pause doubles up to its bound") {
  shard_health health;
  CHECK(health.now() == state::answering);
  CHECK(health.failed());
  CHECK_FALSE(health.failed());
  auto pause = health.pause();
  CHECK(pause == shard_health::first_pause);
  for (int i = 0; i < 10; ++i) {
    health.probe();
    CHECK(health.now() == state::probing);
    CHECK_FALSE(health.failed());  // a worker that failed while it is probed
    CHECK(health.now() == state::probing);
    health.probe_failed();
    CHECK(health.pause() == std::min(pause * 2, shard_health::longest_pause));
    pause = health.pause();
  }
  CHECK(pause == shard_health::longest_pause);
  health.probe();
  health.probe_answered();
  CHECK(health.now() == state::answering);
  CHECK(health.failed());
  CHECK(health.pause() == shard_health::first_pause);
}
