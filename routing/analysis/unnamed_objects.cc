#include "routing/analysis/unnamed_objects.h"

#include <algorithm>
#include <string>

#include "routing/analysis/refusals.h"

namespace routing {
namespace {

bool has_table_in(const shard_map& map, std::string_view schema) {
  const auto& tables = map.tables();
  const auto& parts = map.all().hidden;
  const auto is_part = [&](const hidden_access& h) { return h.how == hidden_access::by::part && h.schema == schema; };
  return std::any_of(tables.begin(), tables.end(), [&](const table& t) { return t.schema == schema; }) ||
         std::any_of(parts.begin(), parts.end(), is_part);
}

bool is_name_of_table(const shard_map& map, std::string_view name) {
  const auto& tables = map.tables();
  return std::any_of(tables.begin(), tables.end(), [&](const table& t) { return t.name == name; });
}

// Clients log in to every shard as themselves, with or without sharded tables.
std::string_view of_roles(const ast::node& n) noexcept {
  switch (n.node_case) {
    case PG_QUERY__NODE__NODE_CREATE_ROLE_STMT:
    case PG_QUERY__NODE__NODE_ALTER_ROLE_STMT:
    case PG_QUERY__NODE__NODE_ALTER_ROLE_SET_STMT:
    case PG_QUERY__NODE__NODE_DROP_ROLE_STMT: return "CREATE, ALTER or DROP ROLE";
    case PG_QUERY__NODE__NODE_GRANT_ROLE_STMT: return "GRANT or REVOKE of a role";
    default: return "";
  }
}

// Commands on settings and objects of the whole database or server, by their kind alone; empty: none.
std::string_view whole_database(const ast::node& n) noexcept {
  switch (n.node_case) {
    case PG_QUERY__NODE__NODE_ALTER_DATABASE_STMT:
    case PG_QUERY__NODE__NODE_ALTER_DATABASE_SET_STMT: return "ALTER DATABASE";
    case PG_QUERY__NODE__NODE_ALTER_SYSTEM_STMT: return "ALTER SYSTEM";
    case PG_QUERY__NODE__NODE_DROP_OWNED_STMT: return "DROP OWNED";
    case PG_QUERY__NODE__NODE_REASSIGN_OWNED_STMT: return "REASSIGN OWNED";
    case PG_QUERY__NODE__NODE_ALTER_EXTENSION_STMT:
    case PG_QUERY__NODE__NODE_ALTER_EXTENSION_CONTENTS_STMT: return "ALTER EXTENSION";
    case PG_QUERY__NODE__NODE_VACUUM_STMT:
      return n.vacuum_stmt->n_rels > 0 ? "" : n.vacuum_stmt->is_vacuumcmd ? "VACUUM without a table" : "ANALYZE without a table";
    case PG_QUERY__NODE__NODE_CLUSTER_STMT: return n.cluster_stmt->relation ? "" : "CLUSTER without a table";
    case PG_QUERY__NODE__NODE_REINDEX_STMT: return n.reindex_stmt->relation ? "" : "REINDEX of a schema or database";
    case PG_QUERY__NODE__NODE_IMPORT_FOREIGN_SCHEMA_STMT:
      return n.import_foreign_schema_stmt->list_type == PG_QUERY__IMPORT_FOREIGN_SCHEMA_TYPE__FDW_IMPORT_SCHEMA_LIMIT_TO
                 ? ""
                 : "IMPORT FOREIGN SCHEMA without LIMIT TO";
    case PG_QUERY__NODE__NODE_CREATE_PUBLICATION_STMT: return n.create_publication_stmt->for_all_tables ? "a publication FOR ALL TABLES" : "";
    default: return "";
  }
}

// A schema that a command names, with sharded or reference tables or parts of them in it; empty: none.
std::string_view schema_with_tables(std::span<ast::node* const> names, const shard_map& map) {
  for (const auto* n : names) {
    const auto name = ast::string_of(n);
    if (!name.empty() && has_table_in(map, name)) return name;
  }
  return {};
}

std::optional<refusal> of_schema(std::string_view what, std::span<ast::node* const> names, const shard_map& map) {
  const auto schema = schema_with_tables(names, map);
  if (schema.empty()) return std::nullopt;
  return run_on_each_shard(what, "schema \"" + std::string(schema) + "\" with a table");
}

std::optional<refusal> drop(const PgQuery__DropStmt& s, const shard_map& map) {
  if (s.remove_type == PG_QUERY__OBJECT_TYPE__OBJECT_EXTENSION) return reaches_all_shards("DROP EXTENSION");
  if (s.remove_type != PG_QUERY__OBJECT_TYPE__OBJECT_SCHEMA) return std::nullopt;
  return of_schema("DROP SCHEMA", ast::list(s.objects, s.n_objects), map);
}

std::optional<refusal> grant(const PgQuery__GrantStmt& s, const shard_map& map) {
  if (s.objtype == PG_QUERY__OBJECT_TYPE__OBJECT_DATABASE) return reaches_all_shards("GRANT or REVOKE on a database");
  const bool schema = s.objtype == PG_QUERY__OBJECT_TYPE__OBJECT_SCHEMA || s.targtype == PG_QUERY__GRANT_TARGET_TYPE__ACL_TARGET_ALL_IN_SCHEMA;
  return schema ? of_schema("GRANT or REVOKE", ast::list(s.objects, s.n_objects), map) : std::nullopt;
}

// The relation that a command makes: an unqualified use of its name would be taken for the sharded table.
const PgQuery__RangeVar* made_by(const ast::node& n) noexcept {
  switch (n.node_case) {
    case PG_QUERY__NODE__NODE_CREATE_STMT: return n.create_stmt->relation;
    case PG_QUERY__NODE__NODE_CREATE_FOREIGN_TABLE_STMT: {
      const auto* base = n.create_foreign_table_stmt->base_stmt;
      return base ? base->relation : nullptr;
    }
    case PG_QUERY__NODE__NODE_VIEW_STMT: return n.view_stmt->view;
    case PG_QUERY__NODE__NODE_CREATE_TABLE_AS_STMT: return n.create_table_as_stmt->into ? n.create_table_as_stmt->into->rel : nullptr;
    case PG_QUERY__NODE__NODE_CREATE_SEQ_STMT: return n.create_seq_stmt->sequence;
    default: return nullptr;
  }
}

std::optional<refusal> new_name(const ast::node& n, const shard_map& map) {
  if (const auto* made = made_by(n)) return takes_name_of_table(*made, map);
  if (n.node_case != PG_QUERY__NODE__NODE_RENAME_STMT) return std::nullopt;
  const auto& s = *n.rename_stmt;
  if (s.rename_type == PG_QUERY__OBJECT_TYPE__OBJECT_SCHEMA && has_table_in(map, ast::text(s.subname)))
    return run_on_each_shard("ALTER SCHEMA", "schema \"" + std::string(ast::text(s.subname)) + "\" with a table");
  const bool relation = s.rename_type == PG_QUERY__OBJECT_TYPE__OBJECT_TABLE || s.rename_type == PG_QUERY__OBJECT_TYPE__OBJECT_VIEW ||
                        s.rename_type == PG_QUERY__OBJECT_TYPE__OBJECT_MATVIEW || s.rename_type == PG_QUERY__OBJECT_TYPE__OBJECT_FOREIGN_TABLE ||
                        s.rename_type == PG_QUERY__OBJECT_TYPE__OBJECT_SEQUENCE;
  return relation && is_name_of_table(map, ast::text(s.newname)) ? std::optional(name_is_taken(ast::text(s.newname))) : std::nullopt;
}

}  // namespace

std::optional<refusal> takes_name_of_table(const PgQuery__RangeVar& made, const shard_map& map) {
  return is_name_of_table(map, ast::text(made.relname)) ? std::optional(name_is_taken(ast::text(made.relname))) : std::nullopt;
}

std::optional<refusal> of_all_shards(const ast::node& n, const shard_map& map) {
  if (const auto what = of_roles(n); !what.empty() && (!map.tables().empty() || map.shards().size() > 1)) return reaches_all_roles(what);
  if (map.tables().empty()) return std::nullopt;
  if (const auto what = whole_database(n); !what.empty()) return reaches_all_shards(what);
  if (n.node_case == PG_QUERY__NODE__NODE_DROP_STMT) return drop(*n.drop_stmt, map);
  if (n.node_case == PG_QUERY__NODE__NODE_GRANT_STMT) return grant(*n.grant_stmt, map);
  return new_name(n, map);
}

bool makes_temporary(const ast::node& n) noexcept {
  const auto* made = made_by(n);
  return made && (ast::text(made->relpersistence) == "t" || ast::text(made->schemaname) == "pg_temp");
}

}  // namespace routing
