// PostgreSQL's verifiers: the text form in pg_authid.rolpassword and the keys in it (RFC 5802 section 3).
#include "protocol/scram.h"

#include "protocol/scram_internal.h"

namespace protocol {

using namespace scram_internal;

namespace {

constexpr std::string_view prefix = "SCRAM-SHA-256$";

// Cuts `text` at the first `separator`: returns what is before it and leaves what is after.
std::optional<std::string_view> cut(std::string_view& text, char separator) {
  const auto at = text.find(separator);
  if (at == std::string_view::npos) return std::nullopt;
  const auto head = text.substr(0, at);
  text.remove_prefix(at + 1);
  return head;
}

}  // namespace

std::optional<scram_verifier> parse_scram_verifier(std::string_view text) {
  if (!text.starts_with(prefix)) return std::nullopt;
  text.remove_prefix(prefix.size());
  const auto iterations = cut(text, ':');
  const auto salt = cut(text, '$');
  const auto stored = cut(text, ':');
  if (!iterations || !salt || !stored) return std::nullopt;
  const auto count = parse_iterations(*iterations);
  const auto raw_salt = base64_decode(*salt);
  const auto stored_key = decode_key(*stored);
  const auto server_key = decode_key(text);
  if (!count || !raw_salt || raw_salt->empty() || !stored_key || !server_key) return std::nullopt;
  return scram_verifier{*count, *raw_salt, *stored_key, *server_key};
}

std::string format_scram_verifier(const scram_verifier& verifier) {
  std::string out(prefix);
  out += std::to_string(verifier.iterations) + ':' + base64_encode(verifier.salt);
  out += '$' + base64_encode(view(verifier.stored_key)) + ':' + base64_encode(view(verifier.server_key));
  return out;
}

// PostgreSQL normalises a password by SASLprep where it can and takes the bytes as they are where it cannot. Here the bytes
// are always taken as they are: the same for ASCII, and for other text that is already in NFKC form.
scram_verifier make_scram_verifier(const scram_crypto& crypto, std::string_view password, std::string salt, std::uint32_t iterations) {
  const auto salted = crypto.pbkdf2(password, salt, iterations);
  const auto client_key = crypto.hmac(view(salted), "Client Key");
  scram_verifier verifier;
  verifier.iterations = iterations;
  verifier.stored_key = crypto.sha256(view(client_key));
  verifier.server_key = crypto.hmac(view(salted), "Server Key");
  verifier.salt = std::move(salt);
  return verifier;
}

}  // namespace protocol
