// Certificates, keys and what is demanded of peers, declared in proxy/net/tls.h.
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "proxy/net/tls.h"

namespace proxy {

namespace {

// The wire form of a list with one protocol (RFC 7301).
constexpr unsigned char alpn[] = "\12postgresql";
constexpr unsigned int alpn_size = sizeof alpn - 1;

std::string openssl_reason() {
  const auto code = ERR_peek_last_error();
  ERR_clear_error();
  const char* text = code == 0 ? nullptr : ERR_reason_error_string(code);
  return text == nullptr ? "unknown error" : text;
}

std::string unreadable(const std::string& file) {
  std::FILE* opened = std::fopen(file.c_str(), "r");
  if (opened == nullptr) return fmt::format("{}: {}", file, std::strerror(errno));
  std::fclose(opened);
  return {};
}

// PostgreSQL's own rule: nobody else may read a private key, or, where it is root's, its group at most.
std::string too_open(const std::string& file) {
  struct stat facts {};
  if (::stat(file.c_str(), &facts) != 0) return fmt::format("{}: {}", file, std::strerror(errno));
  if (facts.st_uid != ::geteuid() && facts.st_uid != 0) return fmt::format("{}: the private key belongs to another user", file);
  const mode_t forbidden = facts.st_uid == 0 && ::geteuid() != 0 ? S_IWGRP | S_IXGRP | S_IRWXO : S_IRWXG | S_IRWXO;
  if ((facts.st_mode & forbidden) == 0) return {};
  return fmt::format("{}: the private key can be read by others; chmod 0600", file);
}

std::string load_own(ssl_ctx_st* context, const tls_files& files) {
  for (const auto& file : {files.certificate, files.key})
    if (auto problem = unreadable(file); !problem.empty()) return problem;
  if (auto problem = too_open(files.key); !problem.empty()) return problem;
  if (SSL_CTX_use_certificate_chain_file(context, files.certificate.c_str()) != 1)
    return fmt::format("{}: not a certificate in PEM: {}", files.certificate, openssl_reason());
  if (SSL_CTX_use_PrivateKey_file(context, files.key.c_str(), SSL_FILETYPE_PEM) != 1)
    return fmt::format("{}: not a private key without passphrase in PEM that fits {}: {}", files.key, files.certificate, openssl_reason());
  return {};
}

std::string load_ca(ssl_ctx_st* context, const std::string& file) {
  if (auto problem = unreadable(file); !problem.empty()) return problem;
  if (SSL_CTX_load_verify_locations(context, file.c_str(), nullptr) != 1)
    return fmt::format("{}: holds no certificates in PEM: {}", file, openssl_reason());
  return {};
}

ssl_ctx_st* make(const ssl_method_st* method) {
  auto* made = SSL_CTX_new(method);
  if (made == nullptr) return nullptr;
  SSL_CTX_set_min_proto_version(made, TLS1_2_VERSION);
  // An idle connection keeps no record buffers; what is sent may move and grow between attempts.
  SSL_CTX_set_mode(made, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_read_ahead(made, 1);
  SSL_CTX_set_options(made, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET);
  SSL_CTX_set_num_tickets(made, 0);
  SSL_CTX_set_session_cache_mode(made, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_default_passwd_cb(made, [](char*, int, int, void*) { return -1; });  // nobody is there to be asked
  return made;
}

int choose_alpn(ssl_st*, const unsigned char** out, unsigned char* size, const unsigned char* offered, unsigned int offered_size, void*) {
  unsigned char* chosen = nullptr;
  const int found = SSL_select_next_proto(&chosen, size, alpn, alpn_size, offered, offered_size);
  *out = chosen;
  return found == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

std::string date_of(const asn1_string_st* when) {
  struct tm parts {};
  if (ASN1_TIME_to_tm(when, &parts) != 1) return "a date that cannot be read";
  return fmt::format("{:04}-{:02}-{:02} {:02}:{:02} UTC", parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min);
}

}  // namespace

tls_context::~tls_context() { SSL_CTX_free(native_); }

tls_loaded tls_context::for_clients(const tls_files& files) {
  std::shared_ptr<const tls_context> made(new tls_context(make(TLS_server_method())));
  if (made->native_ == nullptr) return {nullptr, "OpenSSL: " + openssl_reason()};
  if (auto problem = load_own(made->native_, files); !problem.empty()) return {nullptr, std::move(problem)};
  SSL_CTX_set_alpn_select_cb(made->native_, choose_alpn, nullptr);
  if (files.ca.empty()) return {std::move(made), {}};
  if (auto problem = load_ca(made->native_, files.ca); !problem.empty()) return {nullptr, std::move(problem)};
  SSL_CTX_set_client_CA_list(made->native_, SSL_load_client_CA_file(files.ca.c_str()));
  SSL_CTX_set_verify(made->native_, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  return {std::move(made), {}};
}

tls_loaded tls_context::for_shard(const tls_files& files) {
  std::shared_ptr<const tls_context> made(new tls_context(make(TLS_client_method())));
  if (made->native_ == nullptr) return {nullptr, "OpenSSL: " + openssl_reason()};
  SSL_CTX_set_alpn_protos(made->native_, alpn, alpn_size);
  if (!files.certificate.empty())
    if (auto problem = load_own(made->native_, files); !problem.empty()) return {nullptr, std::move(problem)};
  if (files.ca.empty()) return {std::move(made), {}};
  if (auto problem = load_ca(made->native_, files.ca); !problem.empty()) return {nullptr, std::move(problem)};
  SSL_CTX_set_verify(made->native_, SSL_VERIFY_PEER, nullptr);
  return {std::move(made), {}};
}

std::string tls_context::worry() const {
  const auto* own = SSL_CTX_get0_certificate(native_);
  if (own == nullptr) return {};
  if (X509_cmp_current_time(X509_get0_notAfter(own)) < 0) return "the certificate expired on " + date_of(X509_get0_notAfter(own));
  if (X509_cmp_current_time(X509_get0_notBefore(own)) > 0) return "the certificate is not valid before " + date_of(X509_get0_notBefore(own));
  return {};
}

}  // namespace proxy
