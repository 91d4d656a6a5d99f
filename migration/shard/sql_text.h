// Pieces of SQL about moving tables, built once for everybody who talks to a shard about them. Pure, any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "migration/pg/pg.h"
#include "migration/plan/moving_table.h"

namespace migration {

inline std::string qualified(const moving_table& table) { return pg::quote_ident(table.schema, table.name); }
inline std::string plain_name(const moving_table& table) { return table.schema + "." + table.name; }
inline std::string quoted_key(const moving_table& table) { return pg::quote_ident(table.columns[table.shard_key].name); }

// A text with each occurrence of a mark replaced; what is put in is not looked at again.
std::string replaced(std::string text, std::string_view mark, std::string_view by);
// ARRAY['"public"."orders"'::pg_catalog.regclass, ...], the argument of pgrotor.fence and its like. 42P01 when a table is gone.
std::string relation_array(const std::vector<moving_table>&);
// Lets this session fire no user triggers and no foreign key checks (replica), or all again (origin). Only a superuser may set that before
// PostgreSQL 15, so deploy/shard_rights.sql makes a function for it there.
std::string set_replication_role(const pg::connection&, std::string_view role);
// "customer_id", "id": the primary key in key order.
std::string primary_key_list(const moving_table&);

}  // namespace migration
