// Control connections of the commands init, check and serve to what the configuration names, and the words for what went wrong:
// "file:line: key: shard s3 (host=127.0.0.1 port=1) cannot be reached: connection refused; what helps".
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "migration/pg/pg.h"
#include "proxy/config/config.h"
#include "proxy/net/tls.h"
#include "routing/map/shard_map.h"

namespace proxy {

// One of the servers that the file, or the map in its catalog, names.
struct reachable {
  int line = 0;       // 0: the map names it, not the file
  std::string key;    // catalog.dsn, shard.dsn; map
  std::string where;  // catalog, shard s3
  std::string dsn;    // with pgrotor's role
};
reachable catalog_of(const config&);
reachable shard_of(const config&, const shard_config&);
// Those of the file, then what the map has besides: shards that came by ADD SHARD.
std::vector<shard_config> all_shards(const config&, const routing::shard_map::parts& map);

migration::pg::connect_options options_for(const reachable&, const config&);
// "file:line: key: text"
std::string problem_line(const config&, const reachable&, std::string_view text);
// [listen.tls] with what its files hold. nullptr: `problem` is a line like the others. Not for mode disable.
std::shared_ptr<const tls_context> load_client_tls(const config&, std::string& problem);
std::string unreachable_text(const reachable&, const migration::pg::sql_error&);
// What a check or a preparation said no to: message, detail and remedy on one line.
std::string refusal_text(const reachable&, const std::exception&);

// A connection, or nullptr and a line in `problems`.
migration::task<std::unique_ptr<migration::pg::connection>> try_open(const config&, reachable, std::vector<std::string>& problems);

// Runs one coroutine on an io_context of its own, on the calling thread; its exception is thrown from here.
void run_to_end(migration::task<void>);

}  // namespace proxy
