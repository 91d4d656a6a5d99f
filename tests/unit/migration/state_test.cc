#include "migration/plan/state.h"

#include <limits>

#include <doctest/doctest.h>

using namespace migration;

namespace {

constexpr state all[] = {state::planned,  state::preparing, state::copying, state::catching_up, state::verifying,  state::ready,  state::cutting_over, state::switched,
                         state::cleaning, state::done,      state::paused,  state::failing,     state::cancelling, state::failed, state::cancelled,    state::rolled_back};

}  // namespace

TEST_CASE("state: every name reads back") {
  for (const auto s : all) {
    CAPTURE(to_string(s));
    CHECK(parse_state(to_string(s)) == s);
  }
  CHECK(to_string(state::catching_up) == "CATCHING_UP");
  CHECK_FALSE(parse_state("catching_up"));
  CHECK_FALSE(parse_state(""));
  for (const auto kind : {migration_kind::drain, migration_kind::move_range}) CHECK(parse_kind(to_string(kind)) == kind);
  CHECK(parse_strategy(to_string(strategy_kind::cdc)) == strategy_kind::cdc);
  CHECK(parse_transport(to_string(transport_kind::direct)) == transport_kind::direct);
  CHECK(to_string(migration_kind::move_range) == "move_range");
  CHECK_FALSE(parse_strategy("dual_write"));
}

TEST_CASE("state: the way of a migration, and nothing but it") {
  const std::pair<state, state> way[] = {
      {state::planned, state::preparing}, {state::preparing, state::copying}, {state::copying, state::catching_up},
      {state::catching_up, state::verifying}, {state::verifying, state::ready}, {state::ready, state::cutting_over},
      {state::cutting_over, state::ready}, {state::cutting_over, state::switched}, {state::switched, state::cleaning}, {state::cleaning, state::done}};
  for (const auto& [from, to] : way) {
    CAPTURE(to_string(from));
    CHECK(may_go(strategy_kind::cdc, from, to));
  }
  for (const auto from : {state::planned, state::preparing, state::copying, state::catching_up, state::verifying, state::ready, state::paused}) {
    CAPTURE(to_string(from));
    CHECK_FALSE(may_go(strategy_kind::cdc, from, state::switched));
    CHECK_FALSE(may_go(strategy_kind::cdc, from, state::cleaning));
    CHECK_FALSE(may_go(strategy_kind::cdc, from, state::done));
  }
}

TEST_CASE("state: before the switch everything may fail or be cancelled, after it only forward") {
  for (const auto from : all) {
    CAPTURE(to_string(from));
    const bool itself = is_undoing(from);
    CHECK(may_go(strategy_kind::cdc, from, state::failing) == (before_switch(from) || (itself && from == state::failing)));
    CHECK(may_go(strategy_kind::cdc, from, state::cancelling) == (before_switch(from) || (itself && from == state::cancelling)));
    CHECK(may_go(strategy_kind::cdc, from, state::failed) == (from == state::failing));  // only when the undoing is done
    CHECK(may_go(strategy_kind::cdc, from, state::cancelled) == (from == state::cancelling || from == state::planned));
    if (is_final(from)) {
      for (const auto to : all) CHECK_FALSE(may_go(strategy_kind::cdc, from, to));
    }
  }
  for (const auto back : {state::planned, state::copying, state::ready, state::cutting_over, state::paused}) {
    CHECK_FALSE(may_go(strategy_kind::cdc, state::switched, back));
    CHECK_FALSE(may_go(strategy_kind::cdc, state::cleaning, back));
  }
}

TEST_CASE("state: a pause is left to where it was taken") {
  for (const auto s : {state::copying, state::catching_up, state::verifying, state::ready}) {
    CHECK(may_go(strategy_kind::cdc, s, state::paused));
    CHECK(may_go(strategy_kind::cdc, state::paused, s));
  }
  for (const auto s : {state::planned, state::preparing, state::cutting_over, state::switched, state::cleaning, state::done}) {
    CAPTURE(to_string(s));
    CHECK_FALSE(may_go(strategy_kind::cdc, s, state::paused));
    CHECK_FALSE(may_go(strategy_kind::cdc, state::paused, s));
  }
}

TEST_CASE("state: a gate starts closed where the truth is not known") {
  for (const auto s : all) {
    CAPTURE(to_string(s));
    CHECK(gate_starts_closed(s) == (s == state::cutting_over || s == state::switched));
  }
}

TEST_CASE("register_value: its order is epoch, attempt, open, and it reads back") {
  const register_value ascending[] = {{1, 0, false}, {1, 0, true}, {1, 1, false}, {1, 1, true}, {1, 0x7fffffff, true}, {2, 0, false}, {0x7fffffff, 0x7fffffff, true}};
  std::int64_t last = 0;
  for (const auto& value : ascending) {
    CAPTURE(value.epoch);
    CAPTURE(value.attempt);
    CHECK(value.encode() > last);
    CHECK(register_value::decode(value.encode()) == value);
    last = value.encode();
  }
  CHECK(last == std::numeric_limits<std::int64_t>::max());
  CHECK(register_value{3, 1, true}.encode() == 3 * (std::int64_t{1} << 32) + 2 + 1);
}

TEST_CASE("marker_token: reads back, and nothing else is taken for one") {
  const marker_token token{7, 8, 3, 1};
  CHECK(token.text() == "7:8:3:1");
  CHECK(parse_marker("7:8:3:1") == token);
  for (const auto* text : {"", "7:8:3", "7:8:3:1:", "7:8:3:1 ", " 7:8:3:1", "7:8:3:-1", "7::3:1", "7:8:3:x", "7:8:3:2147483648", "99999999999999999999:8:3:1"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_marker(text));
  }
}

TEST_CASE("object_names: everything bears the migration's number") {
  const object_names names(42);
  CHECK(names.slot == "pgrotor_42");
  CHECK(names.publication == "pgrotor_42");
  CHECK(names.origin == "pgrotor_42");
  CHECK(names.cleaner_origin == "pgrotor_clean_42");
  CHECK(names.register_sequence == "pgrotor.register_42");
  CHECK(names.guard_function == "pgrotor.guard_42");
  CHECK(names.trigger_prefix == "~~pgrotor_42_");
}
