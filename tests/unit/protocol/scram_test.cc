#include "protocol/scram.h"

#include <doctest/doctest.h>

#include <string>

#include "openssl_crypto.h"

using namespace protocol;
using protocol_test::crypto_with_nonce;

namespace {

// RFC 7677 section 3: user "user", password "pencil".
constexpr auto rfc_client_nonce = "rOprNGfwEbeRWgbNEkqO";
constexpr auto rfc_server_nonce = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
constexpr auto rfc_salt = "W22ZaJ0SNY7soEsUEjb6gQ==";
constexpr auto rfc_client_first = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
constexpr auto rfc_server_first = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
constexpr auto rfc_client_final =
    "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
constexpr auto rfc_server_final = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

scram_verifier rfc_verifier() { return make_scram_verifier(crypto_with_nonce(""), "pencil", *base64_decode(rfc_salt), 4096); }

struct outcome {
  bool server_accepts = false, client_accepts = false;
  scram_keys learnt;
};

outcome converse(scram_client client, scram_server server) {
  outcome out;
  const auto challenge = server.first(client.first());
  if (!challenge) return out;
  const auto answer = client.next(*challenge);
  if (!answer) return out;
  const auto proof = server.final(*answer);
  out.server_accepts = proof.has_value();
  out.client_accepts = proof && client.verify(*proof);
  out.learnt = server.keys();
  return out;
}

std::string replaced(std::string text, std::string_view what, std::string_view with) {
  return text.replace(text.find(what), what.size(), with);
}

// What the server role says to a client-final message after the RFC's first two.
bool server_accepts(const std::string& client_final, const char* client_first = rfc_client_first) {
  scram_server server(crypto_with_nonce(rfc_server_nonce), rfc_verifier());
  REQUIRE(server.first(client_first));
  return server.final(client_final).has_value();
}

// client-final with a proof that is right for these bytes, whatever they say: from a client that knows the password.
std::string signed_final(const std::string& without_proof) {
  const auto& crypto = crypto_with_nonce(rfc_server_nonce);
  const auto text = [](const scram_key& key) { return std::string(key.begin(), key.end()); };
  const auto client_key = crypto.hmac(text(crypto.pbkdf2("pencil", *base64_decode(rfc_salt), 4096)), "Client Key");
  const auto message = std::string(rfc_client_first).substr(3) + ',' + rfc_server_first + ',' + without_proof;
  auto proof = crypto.hmac(text(crypto.sha256(text(client_key))), message);
  for (std::size_t i = 0; i < proof.size(); ++i) proof[i] = static_cast<unsigned char>(proof[i] ^ client_key[i]);
  return without_proof + ",p=" + base64_encode(text(proof));
}

bool client_answers(const std::string& server_first) {
  scram_client client(crypto_with_nonce(rfc_client_nonce), std::string("pencil"));
  client.first();
  return client.next(server_first).has_value();
}

}  // namespace

TEST_CASE("scram: the server role plays RFC 7677's exchange") {
  scram_server server(crypto_with_nonce(rfc_server_nonce), rfc_verifier());
  CHECK(server.first(rfc_client_first) == rfc_server_first);
  CHECK(server.final(rfc_client_final) == rfc_server_final);
}

TEST_CASE("scram: client and server agree on the right password and only on it") {
  const auto& crypto = crypto_with_nonce("0123456789abcdefghijkl");
  const auto verifier = make_scram_verifier(crypto, "s\xc3\xa9same, ouvre-toi=", "a salt", 4096);
  const auto right = converse({crypto, std::string("s\xc3\xa9same, ouvre-toi=")}, {crypto, verifier});
  CHECK(right.server_accepts);
  CHECK(right.client_accepts);
  CHECK_FALSE(converse({crypto, std::string("sesame")}, {crypto, verifier}).server_accepts);
  CHECK_FALSE(converse({crypto, std::string()}, {crypto, verifier}).server_accepts);
}

TEST_CASE("scram: PLUS binds the exchange to the connection") {
  const auto& crypto = crypto_with_nonce("0123456789abcdefghijkl");
  const auto verifier = make_scram_verifier(crypto, "pencil", "a salt", 4096);
  struct row {
    const char* name;
    std::string server, client;  // what each takes for the connection's binding
    bool offer, seen, accepted;  // PLUS: by the server, as the client sees it
  };
  const row rows[] = {
      {"both see the same certificate", "hash", "hash", true, true, true},
      {"another certificate in between", "hash", "other", true, true, false},
      {"neither is encrypted", "", "", false, false, true},
      {"the client has no binding", "hash", "", true, true, true},
      {"the server has none, and the client says that it sees that", "", "hash", false, false, true},
      {"somebody took PLUS out of the offer", "hash", "hash", true, false, false},
      {"PLUS chosen where none was offered", "", "hash", false, true, false},
  };
  for (const auto& row : rows) {
    CAPTURE(row.name);
    scram_server server(crypto, verifier, row.offer ? row.server : "");
    scram_client client(crypto, std::string("pencil"));
    const auto challenge = server.first(client.first(row.client, row.seen), row.seen && !row.client.empty());
    const auto answer = challenge ? client.next(*challenge) : std::nullopt;
    const auto proof = answer ? server.final(*answer) : std::nullopt;
    CHECK((proof && client.verify(*proof)) == row.accepted);
  }
}

TEST_CASE("scram: keys learnt from a client log in where the verifier is the same, and nowhere else") {
  const auto& crypto = crypto_with_nonce("0123456789abcdefghijkl");
  const auto verifier = make_scram_verifier(crypto, "pencil", "a salt", 4096);
  const auto login = converse({crypto, std::string("pencil")}, {crypto, verifier});
  REQUIRE(login.server_accepts);
  const auto shard = converse({crypto, login.learnt}, {crypto, verifier});
  CHECK(shard.server_accepts);
  CHECK(shard.client_accepts);
  const auto other_salt = make_scram_verifier(crypto, "pencil", "another salt", 4096);
  CHECK_FALSE(converse({crypto, login.learnt}, {crypto, other_salt}).server_accepts);
}

TEST_CASE("scram: a server that does not know the verifier is found out") {
  scram_client client(crypto_with_nonce(rfc_client_nonce), std::string("pencil"));
  CHECK_FALSE(client.verify(rfc_server_final));  // nothing was asked yet
  client.first();
  REQUIRE(client.next(rfc_server_first));
  CHECK_FALSE(client.verify("v=" + base64_encode(std::string(32, '\0'))));
  CHECK_FALSE(client.verify("v=" + base64_encode(std::string(31, '\0'))));
  CHECK_FALSE(client.verify("e=invalid-proof"));
  CHECK_FALSE(client.verify(""));
}

TEST_CASE("scram: client-first messages that the server refuses") {
  struct row {
    const char* message;
    bool accepted;
  };
  const row rows[] = {
      {"n,,n=user,r=abc", true},
      {"y,,n=,r=abc", true},
      {"n,,n=user,r=abc,x=an optional extension", true},
      {"p=tls-server-end-point,,n=user,r=abc", false},
      {"z,,n=user,r=abc", false},
      {"n,a=other,n=user,r=abc", false},
      {"n,,m=mandatory,n=user,r=abc", false},
      {"n,,n=user", false},
      {"n,,r=abc,n=user", false},
      {"n,,n=user,r=", false},
      {"n,,n=user,r=a b", false},
      {"n,,n=user,r=\xc3\xa9", false},
      {"n,,n=user,r=abc,", false},
      {"n,,n=user,r=abc,x", false},
      {"n,,n=user,r=abc,1=x", false},
      {"n,,", false},
      {"", false},
  };
  for (const auto& row : rows) {
    CAPTURE(row.message);
    scram_server server(crypto_with_nonce("nonce"), rfc_verifier());
    CHECK(server.first(row.message).has_value() == row.accepted);
  }
  scram_server server(crypto_with_nonce("nonce"), rfc_verifier());
  CHECK_FALSE(server.first("n,,n=user,r=" + std::string(2000, 'a')));
}

TEST_CASE("scram: client-final messages that the server refuses") {
  const std::string good = rfc_client_final;
  REQUIRE(server_accepts(good));
  CHECK_FALSE(server_accepts(replaced(good, "c=biws", "c=eSws")));                // flag was n, this says y
  CHECK_FALSE(server_accepts(good, "y,,n=user,r=rOprNGfwEbeRWgbNEkqO"));          // flag was y, this says n
  CHECK_FALSE(server_accepts(replaced(good, "c=biws,", "")));                     // no binding
  CHECK_FALSE(server_accepts(replaced(good, "hNlF$k0", "hNlF$k1")));              // another nonce
  CHECK_FALSE(server_accepts(replaced(good, rfc_server_nonce, "")));              // the client's nonce alone
  CHECK_FALSE(server_accepts(replaced(good, "p=dHzb", "p=dHzc")));                // another proof
  CHECK_FALSE(server_accepts(replaced(good, "AndVQ=", "")));                      // proof cut short
  CHECK_FALSE(server_accepts(good.substr(0, good.find(",p="))));                  // no proof
  CHECK_FALSE(server_accepts(good + ",x=y"));                                     // proof not last
  CHECK_FALSE(server_accepts(replaced(good, ",p=", ",x=y,p=")));                  // extension that the proof does not cover
  CHECK_FALSE(server_accepts(good + std::string(1024, '=')));
  CHECK_FALSE(server_accepts(""));
  CHECK_FALSE(server_accepts(",p="));
}

TEST_CASE("scram: a right proof does not make up for a wrong nonce or binding") {
  const std::string good = "c=biws,r=" + std::string(rfc_client_nonce) + rfc_server_nonce;
  REQUIRE(signed_final(good) == rfc_client_final);
  CHECK(server_accepts(signed_final(good)));
  CHECK(server_accepts(signed_final(good + ",x=optional")));
  CHECK_FALSE(server_accepts(signed_final(replaced(good, "hNlF$k0", "hNlF$k1"))));
  CHECK_FALSE(server_accepts(signed_final(replaced(good, rfc_server_nonce, ""))));
  CHECK_FALSE(server_accepts(signed_final(good + "x")));
  CHECK_FALSE(server_accepts(signed_final(replaced(good, "c=biws", "c=eSws"))));
  CHECK_FALSE(server_accepts(signed_final(replaced(good, "c=biws", "c=cD10bHM="))));
  CHECK_FALSE(server_accepts(signed_final(replaced(good, "c=biws,", ""))));
}

TEST_CASE("scram: an exchange cannot be started twice, finished twice, or finished before it began") {
  scram_server server(crypto_with_nonce(rfc_server_nonce), rfc_verifier());
  CHECK_FALSE(server.final(rfc_client_final));
  REQUIRE(server.first(rfc_client_first));
  CHECK_FALSE(server.first(rfc_client_first));
  REQUIRE(server.final(rfc_client_final));
  CHECK_FALSE(server.final(rfc_client_final));

  scram_server guessed(crypto_with_nonce(rfc_server_nonce), rfc_verifier());
  REQUIRE(guessed.first(rfc_client_first));
  REQUIRE_FALSE(guessed.final(replaced(rfc_client_final, "p=dHzb", "p=dHzc")));
  CHECK_FALSE(guessed.final(rfc_client_final));

  scram_client client(crypto_with_nonce(rfc_client_nonce), std::string("pencil"));
  CHECK_FALSE(client.next(rfc_server_first));
  client.first();
  REQUIRE(client.next(rfc_server_first));
  CHECK_FALSE(client.next(rfc_server_first));
}

TEST_CASE("scram: server-first messages that the client refuses") {
  const std::string good = rfc_server_first;
  REQUIRE(client_answers(good));
  CHECK(client_answers(good + ",x=optional"));
  CHECK_FALSE(client_answers("m=mandatory," + good));
  CHECK_FALSE(client_answers(replaced(good, "r=rOpr", "r=ROpr")));            // not the client's nonce
  CHECK_FALSE(client_answers(replaced(good, rfc_server_nonce, "")));          // nothing added to it
  CHECK_FALSE(client_answers(replaced(good, rfc_server_nonce, " ")));
  CHECK_FALSE(client_answers(replaced(good, "i=4096", "i=0")));
  CHECK_FALSE(client_answers(replaced(good, "i=4096", "i=1000001")));
  CHECK_FALSE(client_answers(replaced(good, "i=4096", "i=-4096")));
  CHECK_FALSE(client_answers(replaced(good, "i=4096", "i=4096x")));
  CHECK_FALSE(client_answers(replaced(good, ",i=4096", "")));
  CHECK_FALSE(client_answers(replaced(good, rfc_salt, "")));
  CHECK_FALSE(client_answers(replaced(good, rfc_salt, "not base64")));
  CHECK_FALSE(client_answers("e=other-error"));
  CHECK_FALSE(client_answers(""));
}
