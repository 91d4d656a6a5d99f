#include "openssl_crypto.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

namespace protocol_test {

namespace {

std::string next_nonce;

const unsigned char* octets(std::string_view text) { return reinterpret_cast<const unsigned char*>(text.data()); }

protocol::scram_key hmac(std::string_view key, std::string_view data) {
  protocol::scram_key out;
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), octets(data), data.size(), out.data(), nullptr);
  return out;
}

protocol::scram_key sha256(std::string_view data) {
  protocol::scram_key out;
  SHA256(octets(data), data.size(), out.data());
  return out;
}

protocol::scram_key pbkdf2(std::string_view password, std::string_view salt, std::uint32_t iterations) {
  protocol::scram_key out;
  PKCS5_PBKDF2_HMAC(password.data(), static_cast<int>(password.size()), octets(salt), static_cast<int>(salt.size()),
                    static_cast<int>(iterations), EVP_sha256(), static_cast<int>(out.size()), out.data());
  return out;
}

}  // namespace

const protocol::scram_crypto& crypto_with_nonce(std::string nonce) {
  static const protocol::scram_crypto crypto{hmac, sha256, pbkdf2, [] { return next_nonce; }};
  next_nonce = std::move(nonce);
  return crypto;
}

}  // namespace protocol_test
