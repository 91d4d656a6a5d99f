// Definitions as pg_dump writes them, entry by entry. pg_dump runs as a child process; the coordinator's thread goes on with other work
// meanwhile.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "migration/pg/pg.h"

namespace migration {

struct dump_entry {
  std::string type, schema, name;  // as in the header, unquoted: TABLE, public, orders; FUNCTION, public, f(integer)
  std::string sql;                 // its statements, also SET and \ commands that follow them in the dump
};

// Entries of a dump in text form, in its order, which makes first what others need.
std::vector<dump_entry> entries_of(std::string_view dump);
// The statements that a target needs: session settings, our own guards and comments left out.
std::string wanted_statements(std::string_view dump);
// pg_dump --schema-only with these options, on the server of the connection. Throws refused with pg_dump's message.
task<std::vector<dump_entry>> run_pg_dump(pg::connection&, const std::string& program, std::vector<std::string> options);

}  // namespace migration
