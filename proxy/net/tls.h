// TLS over a non-blocking socket with OpenSSL, for clients and for shards. A tls_context holds certificates and what is demanded of the
// peer: immutable, shared by connections of any thread. A tls_channel is one connection: it reads and writes when its stream
// (proxy/net/stream.h) finds the socket ready, and says what it waits for; worker's thread only. Nothing here waits.
// Sources: manual 55.2.10 (TLS), 20.9 (server), 34.19 (sslmode of libpq); RFC 5929 (tls-server-end-point); RFC 7301 (ALPN).
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "proxy/config/tls_files.h"
#include "proxy/net/channel.h"

struct ssl_st;
struct ssl_ctx_st;

namespace proxy {

class tls_context;
struct tls_loaded {
  std::shared_ptr<const tls_context> context;
  std::string problem;  // "file: reason" when there is no context
};

class tls_context {
 public:
  // What pgrotor shows to clients. With `ca` a client must show a certificate that descends from it.
  static tls_loaded for_clients(const tls_files&);
  // What pgrotor demands of a shard: nothing without `ca`; `certificate` and `key` are shown when the shard asks.
  static tls_loaded for_shard(const tls_files&);

  ~tls_context();
  tls_context(const tls_context&) = delete;
  tls_context& operator=(const tls_context&) = delete;

  ssl_ctx_st* native() const noexcept { return native_; }
  // Of the own certificate: when it is not valid now, why not; else empty.
  std::string worry() const;

 private:
  explicit tls_context(ssl_ctx_st* native) noexcept : native_(native) {}
  ssl_ctx_st* native_;
};

struct tls_socket {
  int native = -1;
  bool drained = false;  // the last read took all there was, the end of the input included
};

class tls_channel final : public channel {
 public:
  enum class step { done, blocked, failed };

  // The server's side, for a client. The socket stays the caller's.
  tls_channel(std::shared_ptr<const tls_context>, int socket);
  // The client's side, for a shard. `host`: name or address for SNI; `check_host`: the certificate must be for it.
  tls_channel(std::shared_ptr<const tls_context>, int socket, const std::string& host, bool check_host);
  ~tls_channel() override;

  // Until done; `wanted` says what blocked it, failure() why it failed.
  step handshake(channel::wants& wanted);
  const std::string& failure() const noexcept { return failure_; }

  progress read(std::span<char> into, bool ended) override;
  progress write(std::span<const iovec> pieces) override;
  bool has_pending() const noexcept override;  // decrypted or not
  void shut() noexcept override;

  bool ready() const noexcept { return ready_; }
  bool alpn_is_postgresql() const noexcept;
  const char* version() const noexcept;  // "TLSv1.3"
  // Channel binding data of type tls-server-end-point; empty when the certificate has no usable hash.
  std::string end_point() const;

 private:
  void open(int socket);
  progress judge(int result);
  progress stopped(int result, std::size_t bytes);
  std::string reason_of_failure() const;

  std::shared_ptr<const tls_context> context_;
  ssl_st* ssl_ = nullptr;
  tls_socket io_;
  bool server_ = false, ready_ = false, broken_ = false;
  std::string host_, failure_;
};

}  // namespace proxy
