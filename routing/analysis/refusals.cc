#include "routing/analysis/refusals.h"

#include <fmt/format.h>

#include <utility>

#include "protocol/sqlstate.h"

namespace routing {
namespace {

std::string quoted(const table& t) { return fmt::format("\"{}.{}\"", t.schema, t.name); }

}  // namespace

refusal not_one_shard(std::string message, std::string detail, std::string hint) {
  return {std::string(protocol::sqlstate::not_one_shard), std::move(message), std::move(detail), std::move(hint)};
}

refusal unproven(const key_graph::use& u) {
  const auto& key = u.table->key_column;
  const std::string shown = u.shown_as == u.table->name ? quoted(*u.table) : fmt::format("{} (as \"{}\")", quoted(*u.table), u.shown_as);
  if (u.stores) {
    return not_one_shard(fmt::format("cannot tell which shard the new rows of table {} belong to", shown),
                         u.why.empty() ? fmt::format("The value of its shard key \"{}\" is not a constant or a parameter.", key)
                                       : std::string(u.why),
                         fmt::format("Give \"{}\" as a literal or a parameter in every row.", key));
  }
  return not_one_shard(fmt::format("cannot prove that this statement stays on one shard: table {} is not limited by its shard key \"{}\"",
                                   shown, key),
                       std::string(u.why),
                       fmt::format("Add {0}.{1} = <literal or parameter> with AND to WHERE or to the ON of an inner join, or join by {1} "
                                   "with a table of the same distribution that is limited so.",
                                   u.shown_as, key));
}

refusal key_change(const table& t) {
  return not_one_shard(fmt::format("the shard key \"{}\" of table {} cannot be assigned", t.key_column, quoted(t)),
                       "The row might belong to another shard afterwards: the value is neither a literal or parameter nor the column itself.",
                       "Delete the row and insert it again with its new key, or leave the column out of the assignment.");
}

refusal reference_write(const table& t) {
  return not_one_shard(fmt::format("reference table {} cannot be written through pgrotor", quoted(t)),
                       "It is kept whole on every shard, and this statement would change one copy only.", "Change it on each shard with psql.");
}

refusal mixed_with_local(std::string_view sharded, std::string_view local) {
  return not_one_shard(fmt::format("sharded table \"{}\" and table \"{}\" cannot be used in one statement", sharded, local),
                       fmt::format("\"{}\" is neither sharded nor a reference table and lives on the default shard only.", local),
                       "Make it a reference table or distribute it by the same key, or send two statements.");
}

refusal dependent_view(std::string_view name) {
  return not_one_shard(fmt::format("\"{}\" is a view over a sharded table or a part of one", name), "A shard would show only its own part of the rows.",
                       "Query the sharded table itself with a condition on the shard key.");
}

refusal hidden_call(const hidden_access& h) {
  return not_one_shard(fmt::format("function \"{}.{}\" touches {} by itself", h.schema, h.name, h.what),
                       "pgrotor does not see for which shard keys, and the shard that it would run on has only its own part of the rows.",
                       "Send the statements of the function through pgrotor, each with its shard key, or call it on the right shard with psql.");
}

refusal hidden_write(const hidden_access& h) {
  return not_one_shard(fmt::format("a write to \"{}.{}\" touches {} as well", h.schema, h.name, h.what),
                       "A trigger, rule, default or check of the table does it, on the shard that it runs on and for whatever keys.",
                       "Drop it and send what it does through pgrotor, or write the table with psql.");
}

refusal text_touches(std::string_view command, std::string_view object) {
  return not_one_shard(fmt::format("{} names \"{}\", which lives on several shards or touches what does", command, object),
                       "pgrotor does not see for which shard keys, and the shard that it would run on has only its own part of the rows.",
                       "Send its statements through pgrotor, each with its shard key, or run it on each shard with psql.");
}

refusal text_unknown(std::string_view function) {
  return not_one_shard(fmt::format("cannot tell which tables the SQL given to {}() touches", function), "It is not a literal.",
                       "Give it as a literal that names no sharded table, or send the statement itself.");
}

namespace {
constexpr auto align_hint = "In pgrotor's console ALIGN SEQUENCES OF the table ABOVE the value lets every shard go on above it, each with values of its own.";
}

refusal sequence_of_table(std::string_view command, std::string_view sequence, std::string_view of) {
  return not_one_shard(fmt::format("{} concerns sequence \"{}\" of {}, which lives on several shards", command, sequence, of),
                       "Each shard gives out values of its own. Through pgrotor the statement would reach one shard only, and let it give out those of others.",
                       align_hint);
}

refusal sequence_unknown() {
  return not_one_shard("cannot tell which sequence setval() sets", "Its name is not a literal, and may be that of a sharded table's sequence.",
                       "Give the name as a literal. For a sharded table's: in pgrotor's console ALIGN SEQUENCES OF the table ABOVE the value.");
}

refusal ambiguous_table(std::string_view name) {
  return not_one_shard(fmt::format("table name \"{}\" is ambiguous: several schemas hold one that is sharded or a reference table", name), "",
                       "Qualify it with its schema.");
}

refusal run_on_each_shard(std::string_view what, std::string_view subject) {
  if (what == "ALTER SEQUENCE")
    return not_one_shard(fmt::format("{} concerns {}, which lives on several shards", what, subject),
                         "Each shard gives out values of its own. Through pgrotor the statement would reach one shard only.", align_hint);
  return not_one_shard(fmt::format("{} concerns {}, which lives on several shards", what, subject),
                       "Through pgrotor the statement would reach one shard only.", "Run it on each shard with psql.");
}

refusal reaches_all_shards(std::string_view what) {
  return not_one_shard(fmt::format("{} concerns more than one table or database, and some live on several shards", what),
                       "Through pgrotor the command would reach the default shard only.", "Run it on each shard with psql.");
}

refusal reaches_all_roles(std::string_view what) {
  return not_one_shard(fmt::format("{} concerns every shard", what), "Through pgrotor the command would reach the default shard only.",
                       "Run it on each shard with psql. A password must be the same SCRAM verifier on all of them and in pgrotor's users file.");
}

refusal name_is_taken(std::string_view name) {
  return not_one_shard(fmt::format("\"{}\" is the name of a sharded or reference table", name),
                       "pgrotor takes the name without a schema for that table, whatever search_path says.", "Choose another name.");
}

refusal result_into_table() {
  return not_one_shard("a new table cannot be filled from a sharded table", "It would come to be on one shard only.",
                       "Create the table first, distribute it, and fill it with INSERT ... SELECT for one shard key at a time.");
}

refusal home_only(std::string_view what, std::string_view default_shard) {
  return not_one_shard(fmt::format("{} belongs to the whole database and runs on the default shard \"{}\" only", what, default_shard),
                       "This statement or its transaction runs on another shard, where no other session would meet the effect.",
                       "Send it as a statement of its own, outside of this transaction, and give its result as a value.");
}

refusal no_parameter_in_set() { return {std::string(protocol::sqlstate::syntax_error), "syntax error at or near \"$1\"", "", ""}; }

refusal unreadable_encoding(std::string_view name) {
  return {std::string(protocol::sqlstate::feature_not_supported), fmt::format("client_encoding cannot be {}", name),
          "Some of its characters have bytes in them that are quotes or backslashes in ASCII.", "Use UTF8, or another encoding that a server can have."};
}

refusal hidden_catalog() {
  return {std::string(protocol::sqlstate::feature_not_supported), "search_path cannot have pg_catalog behind another schema",
          "Types, operators and functions of that schema would take the place of PostgreSQL's, by which statements are placed.",
          "Leave pg_catalog out, which is then searched first, or name it first."};
}

refusal hidden_type(std::string_view name) {
  return {std::string(protocol::sqlstate::feature_not_supported), fmt::format("a temporary object cannot be named \"{}\"", name),
          "It would take the place of the type of that name, by which statements are placed.", "Give it another name."};
}

refusal reserved_gid(std::string_view name) {
  return {std::string(protocol::sqlstate::reserved_name), fmt::format("transaction identifier \"{}\" is reserved", name),
          "Names that begin with \"pgrotor_\" are branches of transactions over several shards. The shard that decides one says how all of it ends.",
          "Give yours another name. pgrotor finishes a branch by itself once that shard can be asked; SHOW PREPARED in the console tells what it waits for."};
}

refusal too_complex(std::string_view what) {
  return {std::string(protocol::sqlstate::statement_too_complex), "statement too complex", std::string(what),
          "Split the statement, or put long lists into IN (...) or VALUES."};
}

}  // namespace routing
