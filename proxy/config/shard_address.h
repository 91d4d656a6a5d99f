// From a shard's DSN to addresses to connect to. Any thread; names are looked up on the resolver's own thread.
#pragma once

#include <string>
#include <vector>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/generic/stream_protocol.hpp>

#include "proxy/config/tls_files.h"

namespace proxy {

struct shard_address {
  std::string host, hostaddr, port = "5432";
};
// As in libpq (manual 34.19.1); see migration/pg/sslmode.h for the default.
enum class sslmode { disable, allow, prefer, require, verify_ca, verify_full };
// target_session_attrs, as in libpq.
enum class session_attrs { any, read_write, read_only, primary, standby, prefer_standby };
struct shard_location {
  std::vector<shard_address> addresses;  // several hosts are tried in order
  std::string dbname;
  session_attrs attrs = session_attrs::any;
  sslmode ssl = sslmode::prefer;
  bool may_bind = true, must_bind = false;  // channel_binding: SCRAM-SHA-256-PLUS
  tls_files files;  // sslcert, sslkey, sslrootcert; `ca` is empty when nothing is to be verified
  std::string error;  // not empty: the DSN is wrong
};
shard_location parse_shard_dsn(const std::string& dsn);

// Is a server that said so of itself at login what was asked for? Servers before PostgreSQL 14 do not say, and count as writable.
bool fits(session_attrs, bool in_hot_standby, bool read_only_by_default) noexcept;

// Empty when the name is not known. A host that starts with '/' is the directory of a Unix socket.
boost::asio::awaitable<std::vector<boost::asio::generic::stream_protocol::endpoint>> resolve(shard_address);

}  // namespace proxy
