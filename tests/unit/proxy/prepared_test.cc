#include "proxy/state/prepared.h"

#include <doctest/doctest.h>

using namespace proxy;

TEST_CASE("prepared: one text with one list of types is one statement") {
  statement_registry registry;
  const auto first = registry.find_or_make("SELECT $1", {23});
  CHECK(registry.find_or_make("SELECT $1", {23}) == first);
  CHECK(registry.find_or_make("SELECT $1", {20}) != first);
  CHECK(registry.find_or_make("SELECT $1", {}) != first);
  CHECK(registry.find_or_make("SELECT $2", {23})->server_name != first->server_name);
}

TEST_CASE("prepared: texts nobody holds cost nothing") {
  statement_registry registry(10'000);
  for (int i = 0; i < 5'000; ++i) REQUIRE(registry.find_or_make("SELECT " + std::to_string(i), {}));
  CHECK(registry.bytes() == 0);
  const auto kept = registry.find_or_make(std::string(9'000, ' '), {});
  REQUIRE(kept);
  CHECK(registry.find_or_make(std::string(2'000, ' '), {}) == nullptr);
  CHECK(registry.find_or_make(std::string(2'000, ' '), {}, false) == nullptr);
}

TEST_CASE("prepared: the latest unnamed texts stay known, and give way to what clients hold") {
  statement_registry registry(100'000);
  const auto id = registry.find_or_make("SELECT 1", {}, false)->id;
  CHECK(registry.find_or_make("SELECT 1", {}, false)->id == id);
  CHECK(registry.find_or_make("SELECT 1", {})->id == id);
  for (int i = 0; i < 1'000; ++i) REQUIRE(registry.find_or_make("SELECT " + std::to_string(i + 1'000), {}, false));
  CHECK(registry.find_or_make("SELECT 1", {}, false)->id != id);
  CHECK(registry.bytes() > 0);
  CHECK(registry.find_or_make(std::string(99'000, ' '), {}));
  CHECK(registry.bytes() == 0);
}

TEST_CASE("prepared: changes of names are taken back newest first") {
  statement_registry registry;
  const auto one = registry.find_or_make("SELECT 1", {}), two = registry.find_or_make("SELECT 2", {});
  client_statements names;
  names.set("a", one);
  names.settle();
  const auto closed = names.erase("a");
  const auto made = names.set("a", two);
  const auto unnamed = names.set("", two);
  CHECK(names.find("a") == two);
  names.undo(unnamed);
  names.undo(made);
  names.undo(closed);
  CHECK(names.find("a") == one);
  CHECK(names.find("") == nullptr);
  CHECK(names.size() == 1);
}

TEST_CASE("prepared: a server keeps the statements used last") {
  server_statements held;
  for (std::uint64_t id = 1; id <= server_statements::limit; ++id) {
    CHECK_FALSE(held.surplus());
    held.add(id);
  }
  CHECK(held.touch(1));
  CHECK(held.surplus() == 2);
  held.forget(2);
  CHECK_FALSE(held.touch(2));
  CHECK_FALSE(held.surplus());
}
