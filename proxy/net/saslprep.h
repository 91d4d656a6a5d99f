// Passwords as SCRAM hashes them: prepared by SASLprep (RFC 4013) like everybody else's, so that two ways to type a letter are one password.
// Any thread.
#pragma once

#include <string>

namespace proxy {

// As PostgreSQL does: what is not UTF-8, or has what the profile forbids, is taken as it is.
std::string saslprep(std::string password);

}  // namespace proxy
