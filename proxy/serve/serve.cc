#include <csignal>

#include <sys/resource.h>

#include <fmt/format.h>

#include "migration/base/test_hooks.h"
#include "proxy/config/log.h"
#include "proxy/serve/commands.h"
#include "proxy/serve/server.h"

namespace proxy {
namespace {

// Every client and every server connection is one file descriptor; as many clients may be logging in as may be logged in.
void raise_open_files(const config& c) {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  constexpr std::size_t others = 200;  // pools, control connections, log, HTTP
  if (limit.rlim_cur < 2 * c.max_clients + others) {
    log_warning("the limit of open files is {}, too few for limits.max_clients={}; raise LimitNOFILE or ulimit -n", limit.rlim_cur, c.max_clients);
  }
}

}  // namespace

int run_serve(const std::string& config_path) {
  const config c = load_config(config_path);
  const users known = load_users(c);
  migration::set_log_level(*migration::parse_log_level(c.log_level));
  migration::test_hooks::load_environment();
  std::signal(SIGPIPE, SIG_IGN);
  raise_open_files(c);
  return server(c, known).run();
}

}  // namespace proxy
