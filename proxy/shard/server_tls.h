// TLS with a shard, before the login or a CancelRequest (manual 55.2.10): SSLRequest, one byte, the handshake. Called by
// server_login.cc on the worker's thread.
#pragma once

#include <memory>
#include <string>

#include "proxy/config/shard_address.h"
#include "proxy/net/byte_queue.h"
#include "proxy/net/stream.h"
#include "proxy/net/tls.h"

namespace proxy {

// How to encrypt the connections to one address of a shard.
struct tls_target {
  std::shared_ptr<const tls_context> context;
  std::string host;
  bool check_host = false;
};

// The context for these files. Each thread keeps what it has read until a file changes; when the new files are broken it goes on with
// the old ones and logs why.
tls_loaded shard_tls_context(const tls_files&);

enum class encryption { done, refused, failed };  // refused: the shard speaks no TLS, the connection can go on in plain text
// `in` must be empty. When it failed, `why` has the reason.
task<encryption> encrypt(stream&, byte_queue& in, tls_target, wakeup&, clock::time_point deadline, std::string& why);

// What is wrong with certificates between here and the server of a connection string, with file and reason; libpq's own words have
// neither. Empty: nothing, or nothing is verified, or there is no server to ask.
task<std::string> probe_certificates(boost::asio::io_context&, std::string dsn, clock::time_point deadline);

}  // namespace proxy
