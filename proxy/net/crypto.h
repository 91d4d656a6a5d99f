// The functions that protocol/scram.h asks for, implemented with OpenSSL. Used for client logins (sessions), for logins at shards
// (pools) and to turn passwords of the users file into verifiers. Any thread.
#pragma once

#include <string>
#include <string_view>

#include "protocol/scram.h"

namespace proxy {

// Lives for the whole process. Its functions throw std::runtime_error when OpenSSL itself fails (out of memory, no entropy).
const protocol::scram_crypto& openssl_crypto();
// `count` bytes from the system's generator: salts, cancel keys.
std::string random_bytes(std::size_t count);
// A random one (RFC 4122, version 4), as PostgreSQL writes it.
std::string random_uuid();
// The time taken depends on the sizes only.
bool equal_in_constant_time(std::string_view, std::string_view) noexcept;

}  // namespace proxy
