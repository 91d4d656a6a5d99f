// The columns of what the coordinator answers: the console's interface, which drivers ask for before anything is done.
#pragma once

#include "migration/plan/commands.h"

namespace migration::columns {

inline column int8(const char* name) { return {name, column_type::int8}; }
inline column float8(const char* name) { return {name, column_type::float8}; }
inline column timestamptz(const char* name) { return {name, column_type::timestamptz}; }

inline const column_list note{"note"}, plan{"plan"}, named_values{"name", "value"}, kept_rows{"table", "kept_in"};
inline const column_list shards{"shard", "dsn", "state", "placements"};
inline const column_list ranges{"distribution", int8("lower"), int8("upper"), "shard"};
inline const column_list tables{"schema", "table", "distribution", "key", "ownership_guard", "attached"};
inline const column_list migrations{int8("migration"), int8("job"), "kind", "distribution", "source", "target", "state", int8("rows_copied"),
                                    int8("rows_estimated"), int8("bytes_copied"), float8("copy_mb_s"), int8("backlog_bytes"), int8("lag_ms"),
                                    int8("held"), "throttle", int8("eta_s"), int8("attempt"), int8("pause_us"), "error", "sqlstate",
                                    timestamptz("created"), timestamptz("finished"), "blockers"};
inline const column_list orphans{"shard", "schema", "table", int8("orphans"), "keys", "note"};
inline const column_list sequences{"shard", "schema", "table", "column", "sequence", int8("last_value"), int8("increment"), "note"};
inline const column_list prepared{"shard", "name", "owner", int8("age_s"), "decided_by", "waits_for"};
inline const column_list job{int8("migration"), int8("job"), "kind", "distribution", "source", "target", "ranges", int8("estimated_rows")};
inline const column_list cutover_steps{"step", "name", "what", int8("at_most_ms"), "when_it_fails"};

}  // namespace migration::columns
