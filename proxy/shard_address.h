// From a shard's DSN to addresses to connect to. Any thread; names are looked up on the resolver's own thread.
#pragma once

#include <string>
#include <vector>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/generic/stream_protocol.hpp>

namespace proxy {

struct shard_address {
  std::string host, hostaddr, port = "5432";
};
struct shard_location {
  std::vector<shard_address> addresses;  // several hosts are tried in order
  std::string dbname;
  std::string error;  // not empty: the DSN is wrong
};
shard_location parse_shard_dsn(const std::string& dsn);

// Empty when the name is not known. A host that starts with '/' is the directory of a Unix socket.
boost::asio::awaitable<std::vector<boost::asio::generic::stream_protocol::endpoint>> resolve(shard_address);

}  // namespace proxy
