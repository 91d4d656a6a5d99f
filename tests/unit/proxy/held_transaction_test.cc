#include "proxy/transaction/held_transaction.h"

#include <doctest/doctest.h>

using proxy::held_transaction;
using routing::statement_kind;
using routing::statement_plan;

namespace {

statement_plan plan(statement_kind kind, bool chain = false) {
  statement_plan made;
  made.kind = kind;
  made.chain = chain;
  return made;
}

bool answers(const held_transaction& held, std::initializer_list<statement_kind> kinds) {
  std::vector<statement_plan> plans;
  for (const auto kind : kinds) plans.push_back(plan(kind));
  return held.can_answer(plans);
}

std::string run(held_transaction& held, statement_kind kind, const char* sql, bool chain = false) {
  const std::string tag(held.run(plan(kind, chain), sql).tag);
  held.keep(sql);
  return tag;
}

using kind = statement_kind;

}  // namespace

TEST_CASE("held_transaction: only what PostgreSQL would answer alike is answered") {
  held_transaction idle;
  CHECK(answers(idle, {kind::begin}));
  CHECK(answers(idle, {kind::begin, kind::set_local, kind::savepoint}));
  auto timeout = plan(kind::set_local);
  timeout.effects.settings.emplace_back(std::string("idle_in_transaction_session_timeout"));
  CHECK_FALSE(idle.can_answer(std::vector{plan(kind::begin), timeout}));
  CHECK(answers(idle, {kind::begin, kind::commit, kind::begin}));
  CHECK_FALSE(idle.can_answer(std::vector{plan(kind::begin), plan(kind::rollback, true)}));
  CHECK_FALSE(answers(idle, {kind::commit}));     // a warning of PostgreSQL goes with it
  CHECK_FALSE(answers(idle, {kind::savepoint}));  // an error
  CHECK_FALSE(answers(idle, {kind::begin, kind::query}));
  CHECK_FALSE(answers(idle, {kind::begin, kind::commit, kind::savepoint}));
  CHECK_FALSE(answers(idle, {}));

  held_transaction open;
  run(open, kind::begin, "BEGIN");
  CHECK_FALSE(answers(open, {kind::prepare_transaction}));  // a shard has to do it
  CHECK(answers(open, {kind::savepoint, kind::rollback_to, kind::release, kind::commit}));
  open.fail();
  CHECK(answers(open, {kind::rollback}));
  CHECK(answers(open, {kind::commit, kind::begin}));
  CHECK_FALSE(answers(open, {kind::savepoint}));
  CHECK_FALSE(answers(open, {kind::rollback_to}));  // no savepoint to go back to
  CHECK(answers(open, {kind::prepare_transaction}));
  CHECK_FALSE(answers(open, {kind::prepare_transaction, kind::prepare_transaction}));  // a warning the second time
  CHECK_FALSE(answers(open, {kind::rollback, kind::begin, kind::prepare_transaction}));
  CHECK_FALSE(answers(open, {kind::finish_prepared}));
}

TEST_CASE("held_transaction: texts are kept in order until the transaction ends") {
  held_transaction held;
  CHECK(run(held, kind::begin, "START TRANSACTION") == "START TRANSACTION");
  CHECK(run(held, kind::set_local, "set  CONSTRAINTS ALL DEFERRED") == "SET CONSTRAINTS");
  CHECK(run(held, kind::set_local, "/* a /* b */ */ SET LOCAL x = 1") == "SET");
  CHECK(run(held, kind::savepoint, "SAVEPOINT a") == "SAVEPOINT");
  CHECK(held.texts().size() == 4);
  CHECK(held.status() == protocol::transaction_status::in_transaction);
  CHECK(run(held, kind::commit, "COMMIT") == "COMMIT");
  CHECK(held.texts().empty());
  CHECK(held.status() == protocol::transaction_status::idle);
}

TEST_CASE("held_transaction: a failed one answers COMMIT and PREPARE TRANSACTION with ROLLBACK") {
  for (const auto end : {kind::commit, kind::prepare_transaction}) {
    held_transaction held;
    run(held, kind::begin, "BEGIN");
    held.fail();
    CHECK(held.status() == protocol::transaction_status::failed);
    CHECK(run(held, end, "...") == "ROLLBACK");
    CHECK_FALSE(held.open());
  }
}

TEST_CASE("held_transaction: back to a savepoint mends it, for nothing has run anywhere") {
  held_transaction held;
  run(held, kind::begin, "BEGIN");
  run(held, kind::savepoint, "SAVEPOINT a");
  held.fail();
  REQUIRE(answers(held, {kind::rollback_to}));
  CHECK(run(held, kind::rollback_to, "ROLLBACK TO a") == "ROLLBACK");
  CHECK(held.status() == protocol::transaction_status::in_transaction);
  CHECK(held.texts().back() == "ROLLBACK TO a");
}

TEST_CASE("held_transaction: savepoints are known by name, the newest of a name first") {
  const auto named = [](statement_kind kind, const char* name) {
    statement_plan made = plan(kind);
    made.savepoint = name;
    return made;
  };
  const auto can = [&](const held_transaction& held, statement_kind kind, const char* name) {
    const auto one = named(kind, name);
    return held.can_answer(std::span(&one, 1));
  };
  held_transaction held;
  run(held, kind::begin, "BEGIN");
  for (const auto* name : {"a", "b", "a"}) held.run(named(kind::savepoint, name), "SAVEPOINT");
  CHECK_FALSE(can(held, kind::release, "c"));
  held.run(named(kind::release, "a"), "RELEASE a");
  CHECK(can(held, kind::rollback_to, "a"));
  CHECK(can(held, kind::rollback_to, "b"));
  held.run(named(kind::rollback_to, "a"), "ROLLBACK TO a");
  CHECK_FALSE(can(held, kind::rollback_to, "b"));
  CHECK(can(held, kind::release, "a"));
}

TEST_CASE("held_transaction: AND CHAIN keeps the characteristics of BEGIN") {
  held_transaction held;
  run(held, kind::begin, "BEGIN ISOLATION LEVEL SERIALIZABLE");
  run(held, kind::savepoint, "SAVEPOINT a");
  CHECK(run(held, kind::rollback, "ROLLBACK AND CHAIN", true) == "ROLLBACK");
  CHECK(held.open());
  CHECK(held.texts().front() == "BEGIN ISOLATION LEVEL SERIALIZABLE");
  CHECK_FALSE(answers(held, {kind::rollback_to}));  // savepoints are gone
  run(held, kind::set_local, "SET TRANSACTION READ ONLY");
  run(held, kind::set_local, "SET LOCAL work_mem = '1MB'");
  run(held, kind::commit, "COMMIT AND CHAIN", true);
  CHECK(held.texts() == std::vector<std::string>{"BEGIN ISOLATION LEVEL SERIALIZABLE", "SET TRANSACTION READ ONLY", "COMMIT AND CHAIN"});
}

TEST_CASE("held_transaction: the snapshot of another transaction is not that of the next one") {
  held_transaction held;
  run(held, kind::begin, "BEGIN ISOLATION LEVEL REPEATABLE READ");
  auto import = plan(kind::set_local);
  import.imports_snapshot = true;
  held.run(import, "SET TRANSACTION SNAPSHOT 'x'");
  held.keep("SET TRANSACTION SNAPSHOT 'x'");
  CHECK(held.imports_snapshot());
  run(held, kind::commit, "COMMIT AND CHAIN", true);
  CHECK_FALSE(held.imports_snapshot());
  CHECK(held.texts() == std::vector<std::string>{"BEGIN ISOLATION LEVEL REPEATABLE READ", "COMMIT AND CHAIN"});
}

TEST_CASE("held_transaction: what was given to a server can be taken back") {
  held_transaction held;
  run(held, kind::begin, "BEGIN");
  proxy::transaction_log given;
  held.give(given);
  CHECK_FALSE(held.open());
  CHECK(held.texts().empty());
  given.note({proxy::saying::what::setting, "SET LOCAL a.b = 'c'", {}}, true);
  held.take_back(given);
  CHECK(held.open());
  CHECK(held.texts() == std::vector<std::string>{"BEGIN", "SET LOCAL a.b = 'c'"});
}

TEST_CASE("held_transaction: a second BEGIN is told and changes nothing") {
  held_transaction held;
  CHECK_FALSE(held.run(plan(kind::begin), "BEGIN").already_in_progress);
  CHECK(held.run(plan(kind::begin), "BEGIN").already_in_progress);
}

TEST_CASE("held_transaction: what it keeps is bounded") {
  held_transaction held;
  run(held, kind::begin, "BEGIN");
  const std::string big(held_transaction::max_bytes, ' ');
  held.keep(big);
  CHECK_FALSE(answers(held, {kind::savepoint}));
}
