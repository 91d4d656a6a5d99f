// The server role: proves a client by its verifier and learns the client's key, declared in protocol/scram.h.
#include <utility>

#include "protocol/scram.h"
#include "protocol/scram_internal.h"

namespace protocol {

using namespace scram_internal;

scram_server::scram_server(const scram_crypto& crypto, scram_verifier verifier, std::string binding)
    : crypto_(crypto), verifier_(std::move(verifier)), binding_(std::move(binding)) {}

// gs2-header client-first-message-bare. The channel binding flag is 'p' with PLUS and only then. Without it 'n' (the client has no
// binding) may pass, and 'y' (it has, and believes that the server has not) only when that is true: else somebody has taken PLUS out
// of the offer. Another authorization identity is refused as PostgreSQL does, and the user name is ignored as PostgreSQL does: it was
// in the startup packet.
std::optional<std::string> scram_server::first(std::string_view client_first, bool plus) {
  if (!nonce_.empty() || !bound_.empty() || client_first.size() > max_message) return std::nullopt;
  const std::string_view header = plus ? plus_header : client_first.substr(0, 3);
  const bool right = plus ? !binding_.empty() : header == "n,," || (header == "y,," && binding_.empty());
  if (!right || !client_first.starts_with(header)) return std::nullopt;
  bound_ = header;
  if (plus) bound_ += binding_;
  client_first_bare_ = client_first.substr(header.size());
  attribute_reader reader(client_first_bare_);
  const auto user = reader.take('n');
  const auto client_nonce = reader.take('r');
  if (!user || !client_nonce || !is_nonce(*client_nonce) || !reader.skip_rest()) return std::nullopt;
  nonce_ = std::string(*client_nonce) + crypto_.nonce();
  server_first_ = "r=" + nonce_ + ",s=" + base64_encode(verifier_.salt) + ",i=" + std::to_string(verifier_.iterations);
  return server_first_;
}

std::optional<std::string> scram_server::final(std::string_view client_final) {
  if (nonce_.empty() || client_final.size() > max_message) return std::nullopt;
  const auto nonce = std::exchange(nonce_, {});  // one attempt an exchange
  const auto proof_at = client_final.rfind(",p=");
  if (proof_at == std::string_view::npos) return std::nullopt;
  const auto without_proof = client_final.substr(0, proof_at);
  const auto proof = decode_key(client_final.substr(proof_at + 3));
  attribute_reader reader(without_proof);
  const auto binding = reader.take('c');
  const auto echoed = reader.take('r');
  if (!proof || !binding || *binding != base64_encode(bound_) || !echoed || *echoed != nonce || !reader.skip_rest())
    return std::nullopt;
  const auto auth_message = client_first_bare_ + ',' + server_first_ + ',' + std::string(without_proof);
  const auto client_key = exclusive_or(*proof, crypto_.hmac(view(verifier_.stored_key), auth_message));
  if (!equal(crypto_.sha256(view(client_key)), verifier_.stored_key)) return std::nullopt;
  keys_ = {client_key, verifier_.server_key};
  return "v=" + base64_encode(view(crypto_.hmac(view(verifier_.server_key), auth_message)));
}

}  // namespace protocol
