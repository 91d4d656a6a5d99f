// From the text of a console statement to a value (DESIGN 8; the grammar is in README.md). Pure, any thread; admin.cc executes what
// comes out. What a name or an option means is judged by who executes it; here only the form is.
#pragma once

#include <string>
#include <string_view>
#include <variant>

#include "migration/plan/commands.h"
#include "proxy/worker/worker.h"

namespace proxy {

// What the proxy itself shows; the rest of SHOW is the coordinator's (migration::show).
enum class proxy_shown { pools, clients, servers, stats, config, version, help };
struct show_proxy { proxy_shown what{}; };
struct explain_route { std::string sql; };  // everything after EXPLAIN ROUTE
struct accept_setting { std::string name; };  // SET of a setting that drivers send on connect: nothing happens
struct accept_quietly { std::string tag; };  // of transactions and session state, which the console has not: drivers say it all the same
struct pool_verb {
  pool_command what{};
  std::string database, tag;  // database empty: all
};
enum class process_verb { reload, shutdown };
struct no_command {};  // nothing but blanks, comments and a semicolon
struct test_command { std::string verb, name; };  // TEST STOP 'point', verb in lower case: builds with PGROTOR_TEST_HOOKS only

using admin_command = std::variant<migration::request, show_proxy, explain_route, accept_setting, accept_quietly, pool_verb, process_verb, no_command, test_command>;

// Throws migration::refused, 42601, with the position and what was expected; an unknown command names the nearest ones.
admin_command parse_admin(std::string_view sql);

}  // namespace proxy
