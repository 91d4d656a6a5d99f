#include "proxy/net/crypto.h"

#include <algorithm>
#include <memory>
#include <stdexcept>

#include <fmt/format.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <unistd.h>

namespace proxy {
namespace {

template <auto free>
struct freed_by {
  void operator()(auto* what) const noexcept { free(what); }
};
using digest_context = std::unique_ptr<EVP_MD_CTX, freed_by<EVP_MD_CTX_free>>;
using mac_context = std::unique_ptr<EVP_MAC_CTX, freed_by<EVP_MAC_CTX_free>>;

auto* required(auto* what) {
  if (what == nullptr) throw std::runtime_error("OpenSSL: SHA-256 or HMAC is not available");
  return what;
}

// OpenSSL 3 looks algorithms up in its providers, which takes longer than to hash what a login hashes: looked up once for the process,
// with a context a thread, as the manual advises (crypto(7), "Performance").
const EVP_MD* sha256_method() {
  static const EVP_MD* const method = required(EVP_MD_fetch(nullptr, "SHA256", nullptr));
  return method;
}

mac_context make_mac() {
  static EVP_MAC* const method = required(EVP_MAC_fetch(nullptr, "HMAC", nullptr));
  mac_context made(required(EVP_MAC_CTX_new(method)));
  char digest[] = "SHA256";
  const OSSL_PARAM parameters[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0), OSSL_PARAM_construct_end()};
  if (EVP_MAC_CTX_set_params(made.get(), parameters) != 1) throw std::runtime_error("OpenSSL: HMAC takes no SHA-256");
  return made;
}

const unsigned char* bytes(std::string_view text) { return reinterpret_cast<const unsigned char*>(text.data()); }

protocol::scram_key hmac(std::string_view key, std::string_view data) {
  thread_local const mac_context context = make_mac();
  protocol::scram_key out{};
  std::size_t length = 0;
  if (key.data() == nullptr) key = "";  // nullptr would stand for the key that was used last
  if (EVP_MAC_init(context.get(), bytes(key), key.size(), nullptr) != 1 || EVP_MAC_update(context.get(), bytes(data), data.size()) != 1 ||
      EVP_MAC_final(context.get(), out.data(), &length, out.size()) != 1 || length != out.size()) {
    throw std::runtime_error("OpenSSL: HMAC failed");
  }
  return out;
}

protocol::scram_key sha256(std::string_view data) {
  thread_local const digest_context context(required(EVP_MD_CTX_new()));
  protocol::scram_key out{};
  if (EVP_DigestInit_ex(context.get(), sha256_method(), nullptr) != 1 || EVP_DigestUpdate(context.get(), data.data(), data.size()) != 1 ||
      EVP_DigestFinal_ex(context.get(), out.data(), nullptr) != 1)
    throw std::runtime_error("OpenSSL: SHA-256 failed");
  return out;
}

protocol::scram_key pbkdf2(std::string_view password, std::string_view salt, std::uint32_t iterations) {
  protocol::scram_key out{};
  if (PKCS5_PBKDF2_HMAC(password.data(), static_cast<int>(password.size()), bytes(salt), static_cast<int>(salt.size()),
                        static_cast<int>(iterations), sha256_method(), static_cast<int>(out.size()), out.data()) != 1) {
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
  for (std::size_t at = 0; at < count;) {
    const auto part = std::min<std::size_t>(count - at, 256);  // more at a time is an error
    if (::getentropy(out.data() + at, part) != 0) throw std::runtime_error("the system gives no random bytes");
    at += part;
  }
  return out;
}

std::string random_uuid() {
  auto bytes = random_bytes(16);
  bytes[6] = static_cast<char>((bytes[6] & 0x0f) | 0x40);
  bytes[8] = static_cast<char>((bytes[8] & 0x3f) | 0x80);
  std::string text;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text.push_back('-');
    text += fmt::format("{:02x}", static_cast<unsigned char>(bytes[i]));
  }
  return text;
}

bool equal_in_constant_time(std::string_view a, std::string_view b) noexcept {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace proxy
