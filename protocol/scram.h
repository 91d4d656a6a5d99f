// SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677; manual 55.3), both roles, sans-I/O: HMAC, hash, PBKDF2 and random bytes
// are passed in, so this folder needs no crypto library and a test can fix the nonce. So is what PLUS binds the exchange to, the
// tls-server-end-point of the connection (RFC 5929). One object serves one exchange, on one thread, and the scram_crypto given must
// outlive it.
// Keys never leave the objects except through keys(), which a proxy keeps to log in to shards that hold the same verifier.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace protocol {

using scram_key = std::array<unsigned char, 32>;
inline constexpr std::string_view scram_name = "SCRAM-SHA-256", scram_plus_name = "SCRAM-SHA-256-PLUS";

struct scram_crypto {  // plain functions; implemented with OpenSSL in proxy/net/crypto.cc
  scram_key (*hmac)(std::string_view key, std::string_view data);
  scram_key (*sha256)(std::string_view data);
  scram_key (*pbkdf2)(std::string_view password, std::string_view salt, std::uint32_t iterations);
  std::string (*nonce)();  // 18 or more random bytes, base64
};

// PostgreSQL's own text form (pg_authid.rolpassword): SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>, base64 parts.
struct scram_verifier {
  std::uint32_t iterations = 4096;
  std::string salt;  // raw bytes
  scram_key stored_key{}, server_key{};
};
std::optional<scram_verifier> parse_scram_verifier(std::string_view text);
std::string format_scram_verifier(const scram_verifier&);
scram_verifier make_scram_verifier(const scram_crypto&, std::string_view password, std::string salt, std::uint32_t iterations);

// What is enough to log in as a client wherever the salt and iterations are equal; never printed.
struct scram_keys {
  scram_key client_key{}, server_key{};
};

// Server role: client-first-message in, server-first out; client-final in, server-final out. nullopt refuses the login; the
// caller answers 28P01 and never says which step failed.
class scram_server {
 public:
  // `binding`: of the connection; empty when PLUS was not offered.
  scram_server(const scram_crypto&, scram_verifier, std::string binding = {});
  // `plus`: the client has chosen SCRAM-SHA-256-PLUS.
  std::optional<std::string> first(std::string_view client_first, bool plus = false);
  std::optional<std::string> final(std::string_view client_final);
  // After final() succeeded: the client's key, proved by its signature, and the verifier's server key.
  const scram_keys& keys() const { return keys_; }

 private:
  const scram_crypto& crypto_;
  scram_verifier verifier_;
  std::string binding_, nonce_, client_first_bare_, server_first_;
  std::string bound_;  // what the client must repeat: its header, and the binding where it has chosen PLUS
  scram_keys keys_;
};

// Client role, from a password or from keys learnt by scram_server. first() gives client-first; next() takes server-first and
// gives client-final; verify() takes server-final and says whether the server proved that it knows the verifier.
class scram_client {
 public:
  scram_client(const scram_crypto&, std::string password);
  scram_client(const scram_crypto&, scram_keys);
  // `binding`: of the connection, empty when it has none; `plus`: the server offers SCRAM-SHA-256-PLUS, so that is what is to be named
  // as the mechanism when there is a binding.
  std::string first(std::string_view binding = {}, bool plus = false);
  std::optional<std::string> next(std::string_view server_first);
  bool verify(std::string_view server_final) const;

 private:
  const scram_crypto& crypto_;
  std::optional<std::string> password_;
  scram_keys keys_;
  std::string nonce_, client_first_bare_, bound_;
  std::optional<scram_key> server_signature_;  // once next() has answered
};

std::string base64_encode(std::string_view raw);
std::optional<std::string> base64_decode(std::string_view text);

}  // namespace protocol
