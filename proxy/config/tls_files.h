// Where certificates and keys lie: what the configuration and a shard's DSN say of TLS. Values, any thread.
#pragma once

#include <string>

namespace proxy {

// Files in PEM. Empty: none.
struct tls_files {
  std::string certificate, key;
  std::string ca;  // certificates that the peer's must descend from
};

}  // namespace proxy
