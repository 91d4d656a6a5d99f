#include "proxy/state/sql_statements.h"

#include <doctest/doctest.h>

using proxy::sql_changes;
using proxy::sql_prepare_ptr;
using proxy::sql_statements;

namespace {

sql_prepare_ptr statement(std::string name, std::string text) {
  auto made = std::make_shared<routing::sql_prepare>();
  made->name = std::move(name);
  made->text = std::move(text);
  return made;
}

std::string text_of(const sql_statements& all, std::string_view name) {
  const auto found = all.find(name);
  return found ? found->text : "";
}

struct book {
  sql_statements session, server;
  sql_changes changes;
  void settle(const std::vector<std::string>& found) { settle_statements(found, changes, session, server), changes.clear(); }
};

}  // namespace

TEST_CASE("sql_statements: what the server has after a transaction counts") {
  book b;
  b.changes.made(statement("p", "one"));
  b.changes.made(statement("q", "failed"));
  b.settle({"p"});
  CHECK(text_of(b.session, "p") == "one");
  CHECK(text_of(b.server, "p") == "one");
  CHECK(b.session.find("q") == nullptr);
}

TEST_CASE("sql_statements: a name that is taken stays what it was, one that was given up becomes the new one") {
  book b;
  b.changes.made(statement("p", "one"));
  b.settle({"p"});
  b.changes.made(statement("p", "42P05"));
  b.settle({"p"});
  CHECK(text_of(b.session, "p") == "one");
  b.changes.dropped("p");
  b.changes.made(statement("p", "two"));
  b.settle({"p"});
  CHECK(text_of(b.session, "p") == "two");
  CHECK(text_of(b.server, "p") == "two");
}

TEST_CASE("sql_statements: what is gone from one server is gone, what another server has is not touched") {
  book b;
  b.changes.made(statement("p", "one"));
  b.settle({"p"});
  sql_statements other;
  b.session.set(statement("elsewhere", "x"));
  settle_statements({}, b.changes, b.session, other);
  CHECK(text_of(b.session, "p") == "one");
  b.settle({});
  CHECK(b.session.find("p") == nullptr);
  CHECK(text_of(b.session, "elsewhere") == "x");
}

TEST_CASE("sql_statements: a dropped name whose drop was undone by an error is still there") {
  book b;
  b.changes.made(statement("p", "one"));
  b.settle({"p"});
  b.changes.dropped("p");
  b.settle({"p"});
  CHECK(text_of(b.session, "p") == "one");
}
