// The statements of migration/sql/*.sql, embedded at build under the name of their file.
#pragma once

#include <string_view>

namespace migration::sql {
extern const std::string_view versions;       // which version of schema pgrotor is there: the first that `init` runs, idempotent
extern const std::string_view catalog_1;      // tables of the catalog, in numbered steps (schema_version.cc)
extern const std::string_view shard_1;        // tables of a shard, likewise
extern const std::string_view catalog;        // functions of the catalog: run by `init` after the steps, idempotent
extern const std::string_view facts_of_shard;  // what shards must have in common, with marks for lists (equal_shards.cc)
extern const std::string_view behaviour_of_table;  // what a table does beside keeping rows, with a mark (checks_behaviour.cc)
extern const std::string_view grants_of_tables;    // who may do what with tables, likewise
extern const std::string_view needed_objects;      // what definitions of tables need, likewise (checks_needed.cc)
extern const std::string_view named_objects;       // a part of it, and what a target has of that
extern const std::string_view used_by_tables;  // types and collations of tables, likewise
extern const std::string_view shard_objects;  // functions of every shard: run by `init` after the steps, idempotent
extern const std::string_view dump_rights;    // of a database's owner in schema pgrotor: run by `init` after the others, idempotent
extern const std::string_view hidden_access;  // what touches tables without naming them: read by hidden_access.cc
extern const std::string_view hidden_fingerprint;  // has anything changed that hidden_access looks at
extern const std::string_view ownership;      // the ownership guard's functions on every shard: run by `init` after shard_objects, idempotent
extern const std::string_view identity;       // which shard it is, and whose term: run by `init` after shard_objects, idempotent
extern const std::string_view two_phase;      // verdicts on transactions over several shards: run by `init` after shard_objects, idempotent
extern const std::string_view sequences;      // strides of sequences on every shard: run by `init` after shard_objects, idempotent
}  // namespace migration::sql
