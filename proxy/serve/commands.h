// The subcommands of the one binary; main.cc chooses. Each returns the exit code and reports on standard error; a configuration that
// cannot be used is thrown as config_error.
#pragma once

#include <string>

namespace proxy {

// Schema pgrotor in the catalog and on every [[shard]], and the first map when the catalog has none. Running it again changes nothing.
int run_init(const std::string& config_path);
// Connectivity, rights, wal_level, slots and walsenders of catalog and shards: one line a finding, 1 when there is any.
int run_check(const std::string& config_path);
// The proxy with the coordinator inside. Returns after SIGTERM or SIGINT.
int run_serve(const std::string& config_path);

}  // namespace proxy
