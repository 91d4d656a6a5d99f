// One TLS connection, declared in proxy/net/tls.h.
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <new>

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <boost/asio/ip/address.hpp>

#include "proxy/net/receive.h"
#include "proxy/net/tls.h"

namespace proxy {

namespace {

constexpr std::size_t record_size = 16u << 10;

// A BIO of its own for two reasons: no SIGPIPE, and a read tells that it has emptied the socket without asking once more.
int read_socket(BIO* bio, char* out, int size) {
  auto& io = *static_cast<tls_socket*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  const auto got = receive(io.native, std::span(out, static_cast<std::size_t>(size)));
  io.drained = got.rest == 0;
  if (got.bytes < 0 && (errno == EAGAIN || errno == EINTR)) BIO_set_retry_read(bio);
  return static_cast<int>(got.bytes);
}

int write_socket(BIO* bio, const char* bytes, int size) {
  const auto& io = *static_cast<const tls_socket*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  const auto sent = ::send(io.native, bytes, static_cast<std::size_t>(size), MSG_NOSIGNAL);
  if (sent < 0 && (errno == EAGAIN || errno == EINTR)) BIO_set_retry_write(bio);
  return static_cast<int>(sent);
}

long control(BIO*, int what, long, void*) { return what == BIO_CTRL_FLUSH ? 1 : 0; }

const BIO_METHOD* socket_method() {
  static const BIO_METHOD* const method = [] {
    auto* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "pgrotor socket");
    BIO_meth_set_read(made, read_socket);
    BIO_meth_set_write(made, write_socket);
    BIO_meth_set_ctrl(made, control);
    return made;
  }();
  return method;
}

// What comes next after `at` bytes of the pieces, one record's worth at most; small pieces are joined, each record costs a call.
std::string_view next_part(std::span<const iovec> pieces, std::size_t at) {
  thread_local std::array<char, record_size> joined;
  std::size_t size = 0;
  for (const auto& piece : pieces) {
    if (at >= piece.iov_len) {
      at -= piece.iov_len;
      continue;
    }
    const auto from = static_cast<const char*>(piece.iov_base) + at;
    const auto part = std::min(piece.iov_len - at, record_size - size);
    if (size == 0 && (part == record_size || &piece == &pieces.back())) return {from, part};
    std::memcpy(joined.data() + size, from, part);
    size += part;
    at = 0;
  }
  return {joined.data(), size};
}

bool is_address(const std::string& host) {
  boost::system::error_code no;
  boost::asio::ip::make_address(host, no);
  return !no;
}

}  // namespace

void tls_channel::open(int socket) {
  io_.native = socket;
  ssl_ = SSL_new(context_->native());
  auto* bio = ssl_ == nullptr ? nullptr : BIO_new(socket_method());
  if (bio == nullptr) {
    SSL_free(ssl_);
    throw std::bad_alloc();
  }
  BIO_set_data(bio, &io_);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_, bio, bio);
}

tls_channel::tls_channel(std::shared_ptr<const tls_context> context, int socket) : context_(std::move(context)), server_(true) {
  open(socket);
  SSL_set_accept_state(ssl_);
}

tls_channel::tls_channel(std::shared_ptr<const tls_context> context, int socket, const std::string& host, bool check_host)
    : context_(std::move(context)), host_(host) {
  open(socket);
  SSL_set_connect_state(ssl_);
  const bool address = is_address(host);
  if (!address && !host.empty()) SSL_set_tlsext_host_name(ssl_, host.c_str());
  if (!check_host) return;
  auto* demands = SSL_get0_param(ssl_);
  X509_VERIFY_PARAM_set_hostflags(demands, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  if (address) X509_VERIFY_PARAM_set1_ip_asc(demands, host.c_str());
  else X509_VERIFY_PARAM_set1_host(demands, host.c_str(), host.size());
}

tls_channel::~tls_channel() { SSL_free(ssl_); }

channel::progress tls_channel::judge(int result) {
  switch (SSL_get_error(ssl_, result)) {
    case SSL_ERROR_WANT_READ: return {0, wants::to_read, false};
    case SSL_ERROR_WANT_WRITE: return {0, wants::to_write, false};
    case SSL_ERROR_ZERO_RETURN: return {0, wants::nothing, true};
    default: broken_ = true; return {0, wants::nothing, true};
  }
}

// What a read or write comes to that stops after so many bytes.
channel::progress tls_channel::stopped(int result, std::size_t bytes) {
  auto judged = judge(result);
  judged.bytes = bytes;
  return judged;
}

tls_channel::step tls_channel::handshake(channel::wants& wanted) {
  ERR_clear_error();
  errno = 0;
  const int result = SSL_do_handshake(ssl_);
  if (result == 1) {
    ready_ = true;
    return step::done;
  }
  const int error = errno;
  const auto judged = judge(result);
  wanted = judged.wants;
  if (!judged.closed) return step::blocked;
  failure_ = reason_of_failure();
  if (failure_.empty()) failure_ = error == 0 ? "the peer closed the connection during the TLS handshake" : std::strerror(error);
  ERR_clear_error();
  return step::failed;
}

std::string tls_channel::reason_of_failure() const {
  const auto verdict = SSL_get_verify_result(ssl_);
  const char* who = server_ ? "client" : "server";
  if (verdict == X509_V_ERR_HOSTNAME_MISMATCH || verdict == X509_V_ERR_IP_ADDRESS_MISMATCH)
    return fmt::format("the server's certificate is not for {}", host_);
  if (verdict != X509_V_OK) return fmt::format("the {}'s certificate was refused: {}", who, X509_verify_cert_error_string(verdict));
  const auto code = ERR_peek_error();
  const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
  return reason == nullptr ? std::string() : reason;
}

channel::progress tls_channel::read(std::span<char> into, bool ended) {
  progress done;
  while (done.bytes < into.size() && !broken_) {
    const auto rest = into.subspan(done.bytes);
    ERR_clear_error();
    const int got = SSL_read(ssl_, rest.data(), static_cast<int>(std::min(rest.size(), std::size_t{1} << 30)));
    if (got <= 0) return stopped(got, done.bytes);
    done.bytes += static_cast<std::size_t>(got);
    if (!io_.drained || ended || SSL_has_pending(ssl_) == 1) continue;
    done.wants = wants::to_read;
    return done;
  }
  done.closed = broken_;
  return done;
}

channel::progress tls_channel::write(std::span<const iovec> pieces) {
  progress done;
  while (!broken_) {
    const auto part = next_part(pieces, done.bytes);
    if (part.empty()) return done;
    ERR_clear_error();
    const int sent = SSL_write(ssl_, part.data(), static_cast<int>(part.size()));
    if (sent <= 0) return stopped(sent, done.bytes);
    done.bytes += static_cast<std::size_t>(sent);
  }
  done.closed = true;
  return done;
}

bool tls_channel::has_pending() const noexcept { return SSL_has_pending(ssl_) == 1; }

void tls_channel::shut() noexcept {
  if (!ready_ || broken_) return;
  ERR_clear_error();
  SSL_shutdown(ssl_);
  ERR_clear_error();
}

bool tls_channel::alpn_is_postgresql() const noexcept {
  const unsigned char* name = nullptr;
  unsigned int size = 0;
  SSL_get0_alpn_selected(ssl_, &name, &size);
  return name != nullptr && std::string_view(reinterpret_cast<const char*>(name), size) == "postgresql";
}

const char* tls_channel::version() const noexcept { return SSL_get_version(ssl_); }

std::string tls_channel::end_point() const {
  const X509* certificate = server_ ? SSL_get_certificate(ssl_) : SSL_get0_peer_certificate(ssl_);
  int hash = NID_undef;
  if (certificate == nullptr || X509_get_signature_info(const_cast<X509*>(certificate), &hash, nullptr, nullptr, nullptr) != 1) return {};
  if (hash == NID_md5 || hash == NID_sha1) hash = NID_sha256;  // RFC 5929: too weak to be used
  const auto* digest = EVP_get_digestbynid(hash);
  std::array<unsigned char, EVP_MAX_MD_SIZE> out;
  unsigned int size = 0;
  if (digest == nullptr || X509_digest(certificate, digest, out.data(), &size) != 1) return {};
  return {reinterpret_cast<const char*>(out.data()), size};
}

}  // namespace proxy
