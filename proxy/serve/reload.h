// What RELOAD and SIGHUP do with a configuration file that was read again: what changed, and what of it takes a restart. Pure.
#pragma once

#include <string>
#include <vector>

#include "proxy/config/config.h"

namespace proxy {

struct changed_setting {
  std::string key, before, now;
  bool needs_restart = false;
};

// Compares what SHOW CONFIG shows, and the passwords, of which only the fact is told.
std::vector<changed_setting> changes_between(const config& before, const config& now);
// `now`, with everything that takes a restart as it was before.
config in_force(const config& before, config now);

}  // namespace proxy
