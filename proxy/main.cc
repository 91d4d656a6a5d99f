// The one binary. Subcommands are functions of commands.h; here are only the command line and the last border for errors.
#include <cstdio>
#include <exception>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "proxy/serve/commands.h"

namespace {

// The options of every subcommand are the same.
void add_command(CLI::App& app, const char* name, const char* what, int (*run)(const std::string&), int& exit_code) {
  auto* command = app.add_subcommand(name, what);
  auto path = std::make_shared<std::string>();
  command->add_option("-c,--config", *path, "configuration file (TOML)")->required();
  command->callback([path, run, &exit_code] { exit_code = run(*path); });
}

}  // namespace

int main(int argc, char** argv) try {
  CLI::App app("pgrotor: a PostgreSQL proxy whose shards move online", "pgrotor");
  app.set_version_flag("--version", "pgrotor " PGROTOR_VERSION);
  app.require_subcommand(1);
  int exit_code = 0;
  add_command(app, "serve", "run the proxy, with the coordinator inside", proxy::run_serve, exit_code);
  add_command(app, "init", "prepare catalog and shards; running it again changes nothing", proxy::run_init, exit_code);
  add_command(app, "check", "check configuration, connectivity and rights of catalog and shards", proxy::run_check, exit_code);
  CLI11_PARSE(app, argc, argv);
  return exit_code;
} catch (const std::exception& error) {
  fmt::print(stderr, "{}\n", error.what());
  return 1;
}
