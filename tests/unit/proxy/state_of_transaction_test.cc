#include <doctest/doctest.h>

#include <algorithm>

#include "proxy/state/state_of_transaction.h"

namespace state = routing::state;
using proxy::state_of_transaction;
using routing::session_effects;

namespace {

session_effects makes(routing::state_bits bits, std::vector<routing::setting_name> settings = {}) {
  session_effects e;
  e.makes = bits;
  e.settings = std::move(settings);
  return e;
}

proxy::probe question(const state_of_transaction& t, routing::state_bits pinned = 0, const proxy::known_defaults& defaults = {}) {
  return t.question(proxy::make_settings({{"x.applied", "1"}, {"work_mem", "1"}}), pinned, defaults, {"x.own"}, {"x.other"});
}

void add(state_of_transaction& t, const session_effects& e, std::span<const routing::parameter> values = {}) {
  t.note(e);
  t.name(e, values);
}

}  // namespace

TEST_CASE("state_of_transaction: without effects nothing is asked") {
  state_of_transaction t;
  CHECK(question(t).empty());
  add(t, makes(0));
  CHECK(question(t, state::temp_objects).empty());
}

TEST_CASE("state_of_transaction: settings are asked by name, all of them only when they may be back at a default that is not known") {
  state_of_transaction t;
  add(t, makes(state::settings, {std::string("Work_Mem"), std::string("a.b")}));
  CHECK(question(t).names == std::vector<std::string>{"work_mem", "a.b"});
  CHECK_FALSE(question(t).all_settings);
  t.note_undone();
  CHECK(question(t).all_settings);
  proxy::known_defaults defaults;
  proxy::findings seen;
  seen.named = {{"work_mem", "4MB"}};
  defaults.learn({0, true, {}, false}, seen);
  CHECK_FALSE(question(t, 0, defaults).all_settings);
  t.clear();
  CHECK(question(t).empty());
  add(t, makes(state::settings, {std::string("a.b")}));
  t.note_failure();
  CHECK_FALSE(question(t).all_settings);
}

TEST_CASE("state_of_transaction: names in parameters") {
  const routing::parameter given[] = {{"A.b", 0, 0}};
  state_of_transaction t;
  add(t, makes(state::settings, {std::size_t{0}}), given);
  CHECK(question(t).names == std::vector<std::string>{"a.b"});
  CHECK_FALSE(question(t).all_settings);
  t.clear();
  add(t, makes(state::settings, {std::size_t{1}}), given);
  CHECK(question(t).all_settings);
}

TEST_CASE("state_of_transaction: unknown code may have done anything, under every name that is known") {
  state_of_transaction t;
  t.note_unknown();
  const auto asked = question(t);
  CHECK(asked.state == proxy::visible_state);
  CHECK(asked.all_settings);
  CHECK(asked.names == std::vector<std::string>{"x.own", "x.other", "role", "session_authorization", "x.applied"});
}

TEST_CASE("state_of_transaction: what ends a state is asked about only where it is") {
  session_effects close;
  close.ends = state::held_cursors;
  state_of_transaction t;
  add(t, close);
  CHECK(question(t).empty());
  CHECK(question(t, state::held_cursors).state == state::held_cursors);
  add(t, makes(state::advisory_locks));
  CHECK(question(t).state == state::advisory_locks);
}

TEST_CASE("state_of_transaction: what cannot be seen stays, unless it failed") {
  state_of_transaction t;
  add(t, makes(state::libraries | state::temp_objects));
  CHECK(t.hidden(state::random_seed | state::listening) == (state::libraries | state::random_seed));
  t.note_failure();
  CHECK(t.hidden(state::random_seed) == state::random_seed);
  add(t, makes(state::sequence_values));
  CHECK(t.hidden(state::random_seed) == (state::random_seed | state::sequence_values));
  t.clear();
  session_effects discard;
  discard.ends = state::sequence_values;
  add(t, discard);
  CHECK(t.hidden(state::sequence_values | state::libraries) == state::libraries);
}

TEST_CASE("state_of_transaction: with the encoding values beyond ASCII are asked for again") {
  const auto applied = proxy::make_settings({{"app.who", "Jos\xc3\xa9"}, {"work_mem", "1MB"}});
  state_of_transaction t;
  add(t, makes(state::settings, {std::string("geqo")}));
  CHECK(t.question(applied, 0, {}, {}, {}).names == std::vector<std::string>{"geqo"});
  add(t, makes(state::settings, {std::string("client_encoding")}));
  CHECK(t.question(applied, 0, {}, {}, {}).names == std::vector<std::string>{"geqo", "client_encoding", "app.who"});
}

TEST_CASE("state_of_transaction: however many names there are, the role is asked for, and what was set has a name or keeps its server") {
  std::vector<std::string> many;
  for (int i = 0; i < 200; ++i) many.push_back("x.n" + std::to_string(i));
  state_of_transaction t;
  t.note_unknown();
  const auto asked = t.question(nullptr, 0, {}, many, {"x.other"}).names;
  for (const auto* name : {"role", "session_authorization", "x.other", "x.n199"}) CHECK(std::ranges::count(asked, name) == 1);
  t.clear();
  for (const auto& name : many) add(t, makes(state::settings, {name}));
  CHECK(t.hidden(0) == 0);
  add(t, makes(state::settings, {std::string("x.n7")}));
  CHECK(t.hidden(0) == 0);
  add(t, makes(state::settings, {std::string("x.more")}));
  CHECK(t.hidden(0) == state::libraries);
  t.note_failure();
  CHECK(t.hidden(0) == state::libraries);
  t.clear();
  CHECK(t.hidden(0) == 0);
}
