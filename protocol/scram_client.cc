// The client role: proves itself to a shard by password or by learnt keys, declared in protocol/scram.h.
#include <utility>

#include "protocol/scram.h"
#include "protocol/scram_internal.h"

namespace protocol {

using namespace scram_internal;

namespace {

struct challenge {
  std::string_view nonce;
  std::string salt;
  std::uint32_t iterations = 0;
};

// "r=nonce,s=salt,i=iterations" and optional extensions. The nonce must continue the client's own: an equal one would let a
// server choose nothing and replay an old exchange.
std::optional<challenge> read_challenge(std::string_view text, std::string_view client_nonce) {
  if (text.size() > max_message) return std::nullopt;
  attribute_reader reader(text);
  const auto nonce = reader.take('r');
  const auto salt = reader.take('s');
  const auto iterations = reader.take('i');
  if (!nonce || !salt || !iterations || !reader.skip_rest()) return std::nullopt;
  if (!is_nonce(*nonce) || nonce->size() <= client_nonce.size() || !nonce->starts_with(client_nonce)) return std::nullopt;
  auto raw_salt = base64_decode(*salt);
  const auto count = parse_iterations(*iterations);
  if (!raw_salt || raw_salt->empty() || !count) return std::nullopt;
  return challenge{*nonce, std::move(*raw_salt), *count};
}

}  // namespace

scram_client::scram_client(const scram_crypto& crypto, std::string password) : crypto_(crypto), password_(std::move(password)) {}
scram_client::scram_client(const scram_crypto& crypto, scram_keys keys) : crypto_(crypto), keys_(keys) {}

// The user name stays empty, as libpq's does: PostgreSQL takes it from the startup packet.
std::string scram_client::first(std::string_view binding, bool plus) {
  const std::string_view header = binding.empty() ? "n,," : plus ? plus_header : "y,,";
  nonce_ = crypto_.nonce();
  client_first_bare_ = "n=,r=" + nonce_;
  bound_ = header;
  if (header == plus_header) bound_ += binding;
  return std::string(header) + client_first_bare_;
}

std::optional<std::string> scram_client::next(std::string_view server_first) {
  const auto nonce = std::exchange(nonce_, {});  // one answer an exchange
  if (nonce.empty()) return std::nullopt;
  const auto asked = read_challenge(server_first, nonce);
  if (!asked) return std::nullopt;
  if (password_) {
    const auto salted = crypto_.pbkdf2(*password_, asked->salt, asked->iterations);
    keys_ = {crypto_.hmac(view(salted), "Client Key"), crypto_.hmac(view(salted), "Server Key")};
  }
  auto answer = "c=" + base64_encode(bound_) + ",r=" + std::string(asked->nonce);
  const auto auth_message = client_first_bare_ + ',' + std::string(server_first) + ',' + answer;
  const auto signature = crypto_.hmac(view(crypto_.sha256(view(keys_.client_key))), auth_message);
  server_signature_ = crypto_.hmac(view(keys_.server_key), auth_message);
  return answer + ",p=" + base64_encode(view(exclusive_or(keys_.client_key, signature)));
}

// A server that refuses sends "e=reason" here; anything but the right signature is a no.
bool scram_client::verify(std::string_view server_final) const {
  if (!server_signature_ || server_final.size() > max_message) return false;
  attribute_reader reader(server_final);
  const auto signature = reader.take('v');
  if (!signature || !reader.skip_rest()) return false;
  const auto key = decode_key(*signature);
  return key && equal(*key, *server_signature_);
}

}  // namespace protocol
