// Both roles against the logins in golden/traffic.txt: libpq as the client, PostgreSQL 15 as the server. Given the nonces that
// were chosen then, each role must produce the very bytes that went over the wire.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "golden.h"
#include "openssl_crypto.h"
#include "protocol/backend.h"
#include "protocol/frame.h"
#include "protocol/frontend.h"
#include "protocol/scram.h"

using namespace protocol;
using protocol_test::crypto_with_nonce;
using protocol_test::hex;

namespace {

struct login {
  std::string client_first, server_first, client_final, server_final;
};

// Frames of a login arrive in this order: 'p' (initial), 'R' (continue), 'p', 'R' (final).
std::vector<login> captured_logins() {
  std::vector<login> out;
  for (const auto& line : protocol_test::read_golden("traffic.txt")) {
    if (line.words.at(0) != "F" && line.words.at(0) != "B") continue;
    const auto frame = hex(line.words.at(1));
    const auto body = std::string_view(frame).substr(frame_header_size);
    if (line.words[0] == "F" && frame.front() == 'p') {
      if (const auto initial = decode_sasl_initial_response(body)) out.push_back({std::string(initial->data), {}, {}, {}});
      else out.back().client_final = body;
    }
    if (line.words[0] != "B" || frame.front() != 'R') continue;
    const auto message = decode_authentication(body);
    REQUIRE(message);
    if (message->kind == static_cast<std::int32_t>(auth::sasl_continue)) out.back().server_first = message->data;
    if (message->kind == static_cast<std::int32_t>(auth::sasl_final)) out.back().server_final = message->data;
  }
  return out;
}

constexpr std::string_view client_prefix = "n,,n=,r=";

}  // namespace

TEST_CASE("scram_traffic: the client role writes what libpq wrote and accepts what PostgreSQL answered") {
  const auto logins = captured_logins();
  REQUIRE(logins.size() == 3);
  for (const auto& login : logins) {
    scram_client client(crypto_with_nonce(login.client_first.substr(client_prefix.size())), std::string("pencil"));
    CHECK(client.first() == login.client_first);
    CHECK(client.next(login.server_first) == login.client_final);
    CHECK(client.verify(login.server_final));
  }
}

TEST_CASE("scram_traffic: the server role writes what PostgreSQL wrote") {
  const auto verifier = parse_scram_verifier(protocol_test::read_golden("traffic.txt").front().words.at(1));
  REQUIRE(verifier);
  for (const auto& login : captured_logins()) {
    const auto nonce = login.server_first.substr(2, login.server_first.find(',') - 2);
    const auto own = nonce.substr(login.client_first.size() - client_prefix.size());
    scram_server server(crypto_with_nonce(own), *verifier);
    CHECK(server.first(login.client_first) == login.server_first);
    CHECK(server.final(login.client_final) == login.server_final);
  }
}
