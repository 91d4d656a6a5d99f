// The functions that protocol/scram.h asks for, from OpenSSL, with a nonce that a test sets.
#pragma once

#include <string>

#include "protocol/scram.h"

namespace protocol_test {

// nonce() returns `nonce` until the next call of this function.
const protocol::scram_crypto& crypto_with_nonce(std::string nonce);

}  // namespace protocol_test
