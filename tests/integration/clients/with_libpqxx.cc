// libpqxx: prepared statements, parameters, transactions and subtransactions, COPY by streams, pipelines, cursors, errors, cancel. Built
// by CMake against Debian's libpqxx 6; finds pgrotor by the environment as every client here.
#include <pqxx/pqxx>

#include <iostream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

void expect(bool is, const std::string& what) {
  if (!is) throw std::runtime_error(what);
}

std::string token(int number) {
  char text[40];
  std::snprintf(text, sizeof text, "%08x-0000-4000-8000-%012x", static_cast<unsigned>(number) * 0x9e3779b9u, static_cast<unsigned>(number));
  return text;
}

void statements(pqxx::connection& db) {
  db.prepare("insert", "INSERT INTO accounts (id, owner, balance) VALUES ($1, $2, $3)");
  db.prepare("find", "SELECT owner FROM accounts WHERE id = $1");
  for (int key = 1; key <= 40; ++key) {
    pqxx::nontransaction now(db);
    now.exec_prepared0("insert", key, "owner " + std::to_string(key), key);
    now.exec_params0("INSERT INTO words VALUES ($1, $2)", "wörd " + std::to_string(key), key);
    now.exec_params0("INSERT INTO entries VALUES ($1, 1, NULL)", key);
    now.exec_params0("INSERT INTO tokens VALUES ($1, $2)", token(key), key);
    expect(now.exec_prepared1("find", key)[0].as<std::string>() == "owner " + std::to_string(key), "find");
    expect(now.exec_params1("SELECT note FROM tokens WHERE token = $1", token(key))[0].as<int>() == key, "token");
  }
  pqxx::nontransaction now(db);
  expect(now.exec_params1("SELECT owner FROM accounts WHERE id = ANY ($1)", "{5,5}")[0].as<std::string>() == "owner 5", "any");
  expect(now.exec_params1("UPDATE accounts SET balance = $1 + 1000 WHERE id = $1 RETURNING balance", 7)[0].as<double>() == 1007, "used twice");
}

void transactions(pqxx::connection& db) {
  {
    pqxx::work tx(db);
    tx.exec0("UPDATE accounts SET balance = 0 WHERE id = 5");
    try {
      pqxx::subtransaction inner(tx, "inner");
      inner.exec0("INSERT INTO accounts VALUES (5, 'again')");
      throw std::runtime_error("a key was taken twice");
    } catch (const pqxx::unique_violation& failure) {
      expect(failure.sqlstate() == "23505", failure.sqlstate());
    }
    tx.commit();
  }
  pqxx::transaction<pqxx::serializable> tx(db);
  expect(tx.exec1("SELECT balance FROM accounts WHERE id = 5")[0].as<double>() == 0, "committed");
  expect(tx.exec1("SHOW transaction_isolation")[0].as<std::string>() == "serializable", "isolation");
  tx.exec0("DELETE FROM accounts WHERE id = 5");
}

void copies(pqxx::connection& db) {
  {
    pqxx::work tx(db);
    pqxx::stream_to in(tx, "notes", std::vector<std::string>{"id", "body"});
    for (int number = 100; number < 1100; ++number) in << std::make_tuple(number, "copied " + std::to_string(number));
    in.complete();
    tx.commit();
  }
  pqxx::work tx(db);
  int seen = 0;
  {
    pqxx::stream_from out(tx, "notes", std::vector<std::string>{"id", "body"});
    std::string line;
    while (out.get_raw_line(line)) ++seen;
    out.complete();
  }
  expect(seen == 1000, "copied out");
  pqxx::stateless_cursor<pqxx::cursor_base::read_only, pqxx::cursor_base::owned> cursor(tx, "SELECT id FROM notes ORDER BY id", "c", false);
  expect(cursor.retrieve(10, 13)[2][0].as<int>() == 112, "cursor");
  tx.commit();
}

void pipelines(pqxx::connection& db) {
  pqxx::work tx(db);
  pqxx::pipeline line(tx);
  line.retain(50);
  std::vector<pqxx::pipeline::query_id> ids;
  for (int number = 0; number < 100; ++number) ids.push_back(line.insert("SELECT " + std::to_string(number)));
  for (int number = 0; number < 100; ++number) expect(line.retrieve(ids[static_cast<std::size_t>(number)])[0][0].as<int>() == number, "pipeline");
}

void cancels(pqxx::connection& db) {
  std::thread other([&] {
    pqxx::connection watcher("");
    const std::string sleeping = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'SELECT pg_sleep%'";
    while (pqxx::nontransaction(watcher).exec1(sleeping)[0].as<int>() == 0) {
    }
    db.cancel_query();
  });
  std::string state;
  try {
    pqxx::nontransaction(db).exec("SELECT pg_sleep(60)");
  } catch (const pqxx::sql_error& failure) {
    state = failure.sqlstate();
  }
  other.join();
  expect(state == "57014", "cancel: " + state);
  expect(pqxx::nontransaction(db).exec1("SELECT 1")[0].as<int>() == 1, "after cancel");
}

}  // namespace

int main() {
  try {
    pqxx::connection db("");
    statements(db);
    transactions(db);
    copies(db);
    pipelines(db);
    cancels(db);
    std::cout << "libpqxx " << PQXX_VERSION << '\n';
    return 0;
  } catch (const std::exception& failure) {
    std::cerr << failure.what() << '\n';
    return 1;
  }
}
