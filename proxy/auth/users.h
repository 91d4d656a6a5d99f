// The users file: who may log in and with what secret. Read at start; immutable, any thread.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "protocol/scram.h"
#include "proxy/config/config.h"

namespace proxy {

struct user_secret {
  protocol::scram_verifier verifier;    // always there: made from the password when the file has one
  std::optional<std::string> password;  // when the file has a password, prepared by SASLprep
};

class users {
 public:
  // Throws std::runtime_error "file:line: what is wrong".
  static users load(const std::string& path);
  const user_secret* find(const std::string& name) const noexcept;
  std::vector<std::string> names() const;

 private:
  std::map<std::string, user_secret, std::less<>> users_;
};

// The users file of a configuration. Throws config_error; an administrator without a secret is a problem of the configuration.
users load_users(const config&);

}  // namespace proxy
