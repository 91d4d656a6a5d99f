#include "proxy/crypto.h"

#include <stdexcept>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

namespace proxy {
namespace {

const unsigned char* bytes(std::string_view text) { return reinterpret_cast<const unsigned char*>(text.data()); }

protocol::scram_key hmac(std::string_view key, std::string_view data) {
  protocol::scram_key out{};
  unsigned int length = 0;
  if (HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), bytes(data), data.size(), out.data(), &length) == nullptr) {
    throw std::runtime_error("OpenSSL: HMAC failed");
  }
  return out;
}

protocol::scram_key sha256(std::string_view data) {
  protocol::scram_key out{};
  if (EVP_Digest(data.data(), data.size(), out.data(), nullptr, EVP_sha256(), nullptr) != 1) throw std::runtime_error("OpenSSL: SHA-256 failed");
  return out;
}

protocol::scram_key pbkdf2(std::string_view password, std::string_view salt, std::uint32_t iterations) {
  protocol::scram_key out{};
  if (PKCS5_PBKDF2_HMAC(password.data(), static_cast<int>(password.size()), bytes(salt), static_cast<int>(salt.size()),
                        static_cast<int>(iterations), EVP_sha256(), static_cast<int>(out.size()), out.data()) != 1) {
    throw std::runtime_error("OpenSSL: PBKDF2 failed");
  }
  return out;
}

std::string nonce() { return protocol::base64_encode(random_bytes(18)); }

constexpr protocol::scram_crypto functions{hmac, sha256, pbkdf2, nonce};

}  // namespace

const protocol::scram_crypto& openssl_crypto() { return functions; }

std::string random_bytes(std::size_t count) {
  std::string out(count, '\0');
  if (RAND_bytes(reinterpret_cast<unsigned char*>(out.data()), static_cast<int>(count)) != 1) throw std::runtime_error("OpenSSL: no random bytes");
  return out;
}

bool equal_in_constant_time(std::string_view a, std::string_view b) noexcept {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace proxy
