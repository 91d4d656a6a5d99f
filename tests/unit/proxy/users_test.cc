#include "proxy/auth/users.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <string>
#include <thread>

#include "proxy/net/crypto.h"
#include "proxy/net/saslprep.h"
#include "scratch.h"

namespace {

std::string problem_of(const std::string& text) {
  const scratch folder;
  try {
    proxy::users::load(folder.write("users.txt", text));
  } catch (const std::runtime_error& error) {
    return folder.without_folder(error.what());
  }
  return "";
}

// Does a client with this password pass against the stored verifier?
bool logs_in(const protocol::scram_verifier& verifier, const std::string& password) {
  protocol::scram_client client(proxy::openssl_crypto(), password);
  protocol::scram_server server(proxy::openssl_crypto(), verifier);
  const auto server_first = server.first(client.first());
  const auto client_final = server_first ? client.next(*server_first) : std::nullopt;
  const auto server_final = client_final ? server.final(*client_final) : std::nullopt;
  return server_final && client.verify(*server_final);
}

}  // namespace

TEST_CASE("users: passwords and verifiers are read, comments and blank lines are not") {
  const scratch folder;
  const auto verifier = protocol::make_scram_verifier(proxy::openssl_crypto(), "tulip", "0123456789abcdef", 4096);
  const auto users = proxy::users::load(folder.write("users.txt", "# who\n\n; old style\n\"ada\" \"pw\"\n  \"b\"\"n\"\t\"say \"\"hi\"\"\" # why\r\n\"app\" \"" +
                                                                      protocol::format_scram_verifier(verifier) + "\"\n"));
  const auto* ada = users.find("ada");
  REQUIRE(ada != nullptr);
  CHECK(ada->password == "pw");
  CHECK(logs_in(ada->verifier, "pw"));
  CHECK_FALSE(logs_in(ada->verifier, "PW"));
  const auto* quoted = users.find("b\"n");
  REQUIRE(quoted != nullptr);
  CHECK(quoted->password == "say \"hi\"");
  const auto* app = users.find("app");
  REQUIRE(app != nullptr);
  CHECK_FALSE(app->password.has_value());
  CHECK(app->verifier.stored_key == verifier.stored_key);
  CHECK(logs_in(app->verifier, "tulip"));
  CHECK(users.find("Ada") == nullptr);
  CHECK(users.find("") == nullptr);
}

TEST_CASE("users: passwords are prepared as PostgreSQL and its clients do") {
  struct row {
    const char* name;
    std::string given, prepared;
  };
  const row rows[] = {
      {"of ASCII", "I X\x07", "I X\x07"},
      {"a soft hyphen", "I\u00adX", "IX"},
      {"another letter for two", "\u2168", "IX"},
      {"a feminine ordinal", "\u00aa", "a"},
      {"another blank", "p\u00a0w\u3000", "p w "},
      {"composed and decomposed", "e\u0301", "\u00e9"},
      {"one that grows", "\ufdfa", "\u0635\u0644\u0649 \u0627\u0644\u0644\u0647 \u0639\u0644\u064a\u0647 \u0648\u0633\u0644\u0645"},
      {"nothing but what is left out", "\u00ad", "\u00ad"},
      {"a control character beside a letter", "\u00e9\x07", "\u00e9\x07"},
      {"a direction in the middle", "\u0627\u0031", "\u0627\u0031"},
      {"of a newer Unicode", "\u0221\u00aa", "\u0221\u00aa"},
      {"no UTF-8", "\xe9\xaa", "\xe9\xaa"},
  };
  for (const auto& row : rows) {
    CAPTURE(row.name);
    CHECK(proxy::saslprep(row.given) == row.prepared);
  }
  const scratch folder;
  const auto users = proxy::users::load(folder.write("users.txt", "\"a\" \"I\u00adX\"\n"));
  CHECK(logs_in(users.find("a")->verifier, "IX"));
  CHECK(users.find("a")->password == "IX");
}

TEST_CASE("users: equal passwords get different salts") {
  const scratch folder;
  const auto users = proxy::users::load(folder.write("users.txt", "\"a\" \"pw\"\n\"b\" \"pw\"\n"));
  CHECK(users.find("a")->verifier.salt != users.find("b")->verifier.salt);
}

TEST_CASE("users: what is wrong is named with its line") {
  struct row { std::string text, message; };
  const row table[] = {
      {"", "users.txt: no user; nobody could log in"},
      {"# only this\n", "users.txt: no user; nobody could log in"},
      {"ada \"pw\"\n", "users.txt:1: expected the user in double quotes"},
      {"\n\"ada\" pw\n", "users.txt:2: expected the secret in double quotes"},
      {"\"ada\n", "users.txt:1: the user has no closing double quote"},
      {"\"ada\" \"pw\n", "users.txt:1: the secret has no closing double quote"},
      {"\"\" \"pw\"\n", "users.txt:1: the user is empty"},
      {"\"ada\" \"\"\n", "users.txt:1: the secret is empty; nobody could log in with it"},
      {"\"ada\" \"pw\" x\n", "users.txt:1: only a user and a secret are expected on a line"},
      {"\"ada\" \"pw\"\n\"ada\" \"pw2\"\n", "users.txt:2: user \"ada\" is listed twice"},
      {"\"ada\" \"SCRAM-SHA-256$4096:x\"\n", "users.txt:1: the SCRAM-SHA-256 verifier is damaged; copy rolpassword of pg_authid whole"},
      {"\"ada\" \"md50123456789abcdef0123456789abcdef\"\n", "users.txt:1: md5 secrets are not supported; use a SCRAM-SHA-256 verifier or a password"},
  };
  for (const auto& row : table) {
    CAPTURE(row.text);
    CHECK(problem_of(row.text) == row.message);
  }
}

TEST_CASE("users: an administrator needs a secret") {
  const scratch folder;
  proxy::config c;
  c.path = "pgrotor.toml";
  c.users_file = folder.write("users.txt", "\"ada\" \"pw\"\n");
  c.admin_users = {"ada"};
  CHECK(proxy::load_users(c).find("ada") != nullptr);
  c.admin_users = {"ada", "ben", "eve"};
  try {
    proxy::load_users(c);
    FAIL("it was accepted");
  } catch (const proxy::config_error& error) {
    CHECK(folder.without_folder(error.what()) ==
          "pgrotor.toml: auth.admin_users: \"ben\" is not in users.txt\npgrotor.toml: auth.admin_users: \"eve\" is not in users.txt");
  }
}

TEST_CASE("crypto: SCRAM functions give the values of RFC 7677") {
  // User "user", password "pencil", salt and nonces of the RFC's example.
  const auto& crypto = proxy::openssl_crypto();
  const auto salt = protocol::base64_decode("W22ZaJ0SNY7soEsUEjb6gQ==");
  REQUIRE(salt);
  const auto text = [](const protocol::scram_key& key) { return std::string_view(reinterpret_cast<const char*>(key.data()), key.size()); };
  const auto salted = crypto.pbkdf2("pencil", *salt, 4096);
  const auto client_key = crypto.hmac(text(salted), "Client Key");
  const auto stored_key = crypto.sha256(text(client_key));
  const std::string auth_message =
      "n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,"
      "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
  const auto signature = crypto.hmac(text(stored_key), auth_message);
  std::string proof;
  for (std::size_t i = 0; i < signature.size(); ++i) proof.push_back(static_cast<char>(client_key[i] ^ signature[i]));
  CHECK(protocol::base64_encode(proof) == "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
}

TEST_CASE("crypto: HMAC and SHA-256 depend on nothing that was asked before, on any thread") {
  // RFC 4231 cases 2 and 6, FIPS 180-4's "abc", and HMAC of nothing with no key.
  struct {
    std::string key, data, expected;
  } const rows[] = {
      {"Jefe", "what do ya want for nothing?", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
      {std::string(131, '\xaa'), "Test Using Larger Than Block-Size Key - Hash Key First", "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
      {"", "", "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad"},
  };
  const auto hex = [](const protocol::scram_key& raw) {
    std::string text;
    for (const auto byte : raw) text += fmt::format("{:02x}", byte);
    return text;
  };
  const auto& crypto = proxy::openssl_crypto();
  int wrong = 0;
  const auto ask_all = [&] {
    for (const auto& row : rows) {
      wrong += hex(crypto.hmac(row.key.empty() ? std::string_view() : row.key, row.data)) != row.expected;
      wrong += hex(crypto.sha256("abc")) != "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    }
  };
  ask_all();
  std::thread(ask_all).join();
  ask_all();
  CHECK(wrong == 0);
}

TEST_CASE("crypto: random bytes come in any number") {
  for (const std::size_t count : {0u, 1u, 256u, 257u, 1000u}) CHECK(proxy::random_bytes(count).size() == count);
  CHECK(proxy::random_bytes(600).substr(300) != std::string(300, '\0'));
}

TEST_CASE("crypto: nonces differ and are base64 of 18 bytes") {
  const auto one = proxy::openssl_crypto().nonce();
  CHECK(one.size() == 24);
  CHECK(one != proxy::openssl_crypto().nonce());
}
