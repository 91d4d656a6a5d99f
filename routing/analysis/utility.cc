#include "routing/analysis/utility.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "routing/analysis/fixed_settings.h"
#include "routing/analysis/functions.h"
#include "routing/analysis/hidden_text.h"
#include "routing/analysis/key_constant.h"
#include "routing/analysis/refusals.h"
#include "routing/analysis/unnamed_objects.h"

namespace routing {
namespace {

statement_plan plan_to(destination_kind destination, statement_kind kind = statement_kind::query) {
  statement_plan plan;
  plan.kind = kind;
  plan.destination = destination;
  return plan;
}

statement_plan refused_plan(refusal why) {
  statement_plan plan = plan_to(destination_kind::refused);
  plan.refused = std::move(why);
  return plan;
}

statement_plan transaction(const PgQuery__TransactionStmt& s) {
  if (ast::text(s.gid).starts_with("pgrotor_")) return refused_plan(reserved_gid(ast::text(s.gid)));
  statement_plan plan;
  plan.chain = s.chain != 0;
  plan.savepoint = ast::text(s.savepoint_name);
  switch (s.kind) {
    case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_BEGIN:
    case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_START: plan.kind = statement_kind::begin; break;
    case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_COMMIT: plan.kind = statement_kind::commit; break;
    case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_ROLLBACK: plan.kind = statement_kind::rollback; break;
    case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_SAVEPOINT: plan.kind = statement_kind::savepoint; break;
    case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_RELEASE: plan.kind = statement_kind::release; break;
    case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_ROLLBACK_TO: plan.kind = statement_kind::rollback_to; break;
    case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_PREPARE:
      plan.kind = statement_kind::prepare_transaction;
      plan.gid = ast::text(s.gid);
      break;
    case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_COMMIT_PREPARED:
    case PG_QUERY__TRANSACTION_STMT_KIND__TRANS_STMT_ROLLBACK_PREPARED:
      plan.kind = statement_kind::finish_prepared;
      plan.gid = ast::text(s.gid);
      break;
    default: break;
  }
  plan.unbound = plan.kind == statement_kind::savepoint || plan.kind == statement_kind::release || plan.kind == statement_kind::rollback_to;
  return plan;
}

statement_plan unbound(statement_plan plan) {
  plan.unbound = true;
  return plan;
}

statement_plan show() {
  auto plan = unbound(plan_to(destination_kind::any));
  plan.plain_read = true;
  return plan;
}

statement_plan leaves(state_bits makes, state_bits ends = 0) {
  statement_plan plan = plan_to(destination_kind::any);
  plan.effects.makes = makes;
  plan.effects.ends = ends;
  return plan;
}

// A listener must hear every notification, so both are on the default shard.
statement_plan at_home(std::string_view command, state_bits makes = 0, state_bits ends = 0) {
  statement_plan plan = leaves(makes, ends);
  plan.destination = destination_kind::default_shard;
  plan.home_effect = command;
  return plan;
}

// What stands behind SET name TO; an interval, which no setting takes that matters here, as nothing.
std::vector<std::string> values_of(const PgQuery__VariableSetStmt& s) {
  std::vector<std::string> values;
  for (const auto* n : ast::list(s.args, s.n_args)) {
    const auto* c = n->node_case == PG_QUERY__NODE__NODE_A_CONST ? n->a_const : nullptr;
    const bool text = c && c->val_case == PG_QUERY__A__CONST__VAL_SVAL, number = c && c->val_case == PG_QUERY__A__CONST__VAL_IVAL;
    values.push_back(text ? std::string(ast::text(c->sval->sval)) : number ? std::to_string(c->ival->ival) : std::string());
  }
  return values;
}

// libpg_query takes a parameter here, which PostgreSQL does not: so the form of a text, where it stands for any value, is refused, and the text is
// looked at as it is (plan_cache.h).
std::optional<refusal> misleading(const PgQuery__VariableSetStmt& s) {
  if (s.kind != PG_QUERY__VARIABLE_SET_KIND__VAR_SET_VALUE) return std::nullopt;
  const auto is_parameter = [](const ast::node* n) { return n->node_case == PG_QUERY__NODE__NODE_PARAM_REF; };
  if (std::ranges::any_of(ast::list(s.args, s.n_args), is_parameter) && is_judged(ast::text(s.name))) return no_parameter_in_set();
  return misleading_value(ast::text(s.name), values_of(s));
}

void name_settings(const PgQuery__VariableSetStmt& s, session_effects& out) {
  const auto name = ast::text(s.name);
  if (s.kind == PG_QUERY__VARIABLE_SET_KIND__VAR_RESET_ALL) return;  // none named: any
  if (s.kind != PG_QUERY__VARIABLE_SET_KIND__VAR_SET_MULTI) return out.settings.emplace_back(std::string(name)), void();
  for (const auto* one : {"default_transaction_isolation", "default_transaction_read_only", "default_transaction_deferrable"})
    out.settings.emplace_back(std::string(one));
}

statement_plan set_variable(const PgQuery__VariableSetStmt& s) {
  const auto name = ast::text(s.name);
  if (auto why = misleading(s)) return refused_plan(*std::move(why));
  const bool multi = s.kind == PG_QUERY__VARIABLE_SET_KIND__VAR_SET_MULTI, all = s.kind == PG_QUERY__VARIABLE_SET_KIND__VAR_RESET_ALL;
  const bool reading = all || decides_reading(name);
  if (s.is_local || (multi && name.starts_with("TRANSACTION"))) {
    statement_plan plan = plan_to(destination_kind::any, statement_kind::set_local);
    plan.imports_snapshot = multi && name == "TRANSACTION SNAPSHOT";
    plan.unbound = !plan.imports_snapshot;
    if (!multi && name.ends_with("_timeout")) name_settings(s, plan.effects);
    plan.effects.sets_reading = reading;
    plan.effects.reported = is_reported(name);
    return plan;
  }
  if (name == "seed") return leaves(state::random_seed);
  statement_plan plan = leaves(state::settings);
  plan.effects.resets = s.kind != PG_QUERY__VARIABLE_SET_KIND__VAR_SET_VALUE && !multi;
  plan.unbound = true;
  plan.effects.sets_reading = reading;
  name_settings(s, plan.effects);
  return plan;
}

statement_plan discard(const PgQuery__DiscardStmt& s) {
  switch (s.target) {
    case PG_QUERY__DISCARD_MODE__DISCARD_ALL: return plan_to(destination_kind::any, statement_kind::discard_all);
    case PG_QUERY__DISCARD_MODE__DISCARD_TEMP: return leaves(0, state::temp_objects);
    case PG_QUERY__DISCARD_MODE__DISCARD_SEQUENCES: return leaves(0, state::sequence_values);
    default: return plan_to(destination_kind::any);
  }
}

statement_plan deallocate(const PgQuery__DeallocateStmt& s) {
  if (ast::text(s.name).empty()) return plan_to(destination_kind::any, statement_kind::deallocate_all);
  statement_plan plan = leaves(0, state::sql_statements);
  plan.deallocate = ast::text(s.name);
  return plan;
}

std::uint32_t oid_of(key_constant::cast_type type) noexcept {
  switch (type) {
    case key_constant::cast_type::none: return 0;
    case key_constant::cast_type::integer: return 20;
    case key_constant::cast_type::text: return 25;
    case key_constant::cast_type::bpchar: return 1042;
    case key_constant::cast_type::uuid: return 2950;
  }
  return 0;
}

sql_execute::argument argument_of(const ast::node* n) {
  sql_execute::argument made;
  const auto constant = constant_of(n);
  if (!constant) return made;
  made.constant = true;
  made.cast = oid_of(constant->cast);
  made.negated = constant->negated;
  if (constant->from == key_constant::source::parameter) made.parameter = std::get<std::size_t>(constant->value);
  else if (constant->from != key_constant::source::null) made.literal = std::get<std::string>(constant->value);
  return made;
}

std::shared_ptr<const sql_execute> execute_of(const PgQuery__ExecuteStmt& s) {
  auto made = std::make_shared<sql_execute>();
  made->name = ast::text(s.name);
  for (const auto* n : ast::list(s.params, s.n_params)) {
    made->arguments.push_back(argument_of(n));
    if (made->home_effect.empty()) made->home_effect = home_effect_of(n->base);
  }
  return made;
}

statement_plan execute(const PgQuery__ExecuteStmt& s) {
  statement_plan plan = plan_to(destination_kind::any);
  plan.execute = execute_of(s);
  return plan;
}

// Statements that say all there is to say by their type.
std::optional<statement_plan> simple_plan(const ast::node& n) {
  switch (n.node_case) {
    case PG_QUERY__NODE__NODE_TRANSACTION_STMT: return transaction(*n.transaction_stmt);
    case PG_QUERY__NODE__NODE_VARIABLE_SET_STMT: return set_variable(*n.variable_set_stmt);
    case PG_QUERY__NODE__NODE_CONSTRAINTS_SET_STMT: return unbound(plan_to(destination_kind::any, statement_kind::set_local));
    case PG_QUERY__NODE__NODE_DISCARD_STMT: return discard(*n.discard_stmt);
    case PG_QUERY__NODE__NODE_DEALLOCATE_STMT: return deallocate(*n.deallocate_stmt);
    case PG_QUERY__NODE__NODE_VARIABLE_SHOW_STMT: return show();
    case PG_QUERY__NODE__NODE_FETCH_STMT: return plan_to(destination_kind::any);
    case PG_QUERY__NODE__NODE_NOTIFY_STMT: return at_home("NOTIFY");
    case PG_QUERY__NODE__NODE_CLOSE_PORTAL_STMT: return leaves(0, state::held_cursors);
    case PG_QUERY__NODE__NODE_LISTEN_STMT: return at_home("LISTEN", state::listening);
    case PG_QUERY__NODE__NODE_UNLISTEN_STMT: return at_home("UNLISTEN", 0, state::listening);
    case PG_QUERY__NODE__NODE_LOAD_STMT: return leaves(state::libraries);
    case PG_QUERY__NODE__NODE_EXECUTE_STMT: return execute(*n.execute_stmt);
    default: return std::nullopt;
  }
}

// What a statement touches, wherever it names it.
class mention_finder {
 public:
  mention_finder(const shard_map& map, bool reads) : map_(map), reads_(reads) {}

  void visit(const ast::message& m) {
    if (const auto* r = ast::as<PgQuery__RangeVar>(m, pg_query__range_var__descriptor)) relation(*r);
    if (const auto* l = ast::as<PgQuery__List>(m, pg_query__list__descriptor)) name(*l);
    if (const auto* e = ast::as<PgQuery__ExecuteStmt>(m, pg_query__execute_stmt__descriptor)) execute = execute_of(*e);
    if (const auto* f = ast::as<PgQuery__FuncCall>(m, pg_query__func_call__descriptor); f && !call_) call_ = refused_call(*f, map_);
    objects(m);
    ast::for_each_child(m, [&](const ast::message& child) { visit(child); });
  }

  std::shared_ptr<const sql_execute> execute;  // the one found
  std::string hidden;                          // a type whose name something temporary takes

  std::optional<refusal> refused(std::string_view what) const {
    if (!subject_.empty()) return run_on_each_shard(what, subject_);
    if (!hidden.empty()) return hidden_type(hidden);
    return call_;
  }

 private:
  void relation(const PgQuery__RangeVar& r) {
    if (hides_type(r)) hidden = ast::text(r.relname);
    mention(ast::text(r.schemaname), ast::text(r.relname));
  }

  // DROP, COMMENT and their like give names as lists: table, schema.table, or either with a column, trigger or policy behind it.
  void name(const PgQuery__List& l) {
    if (l.n_items == 0 || l.n_items > 3) return;
    std::string_view parts[3];
    for (std::size_t i = 0; i < l.n_items; ++i) parts[i] = ast::string_of(l.items[i]);
    mention("", parts[0]);
    for (std::size_t i = 0; i + 1 < l.n_items; ++i) mention(parts[i], parts[i + 1]);
  }

  void mention(std::string_view schema, std::string_view table) {
    if (table.empty()) return;
    bool ambiguous = false;
    const auto* known = map_.find_table(schema, table, ambiguous);
    const bool counts = ambiguous || (known && (known->distribution || !reads_)) || map_.is_dependent_view(schema, table);
    if (!subject_.empty()) return;
    if (counts) subject_ = "table \"" + std::string(table) + "\"";
    else if (!reads_) part(schema, table);
  }

  void part(std::string_view schema, std::string_view name) {
    const auto* of = subject_.empty() ? map_.find_hidden(hidden_access::by::part, schema, name) : nullptr;
    if (of) subject_ = "\"" + std::string(name) + "\" of " + of->what;
  }

  // Types and functions that a command drops, alters or replaces.
  void objects(const ast::message& m) {
    if (reads_) return;
    const auto qualified = [this](ast::node* const* names, std::size_t count) {
      const auto name = ast::name_of(ast::list(names, count));
      part(name.schema, name.name);
    };
    if (const auto* f = ast::as<PgQuery__ObjectWithArgs>(m, pg_query__object_with_args__descriptor)) qualified(f->objname, f->n_objname);
    if (const auto* f = ast::as<PgQuery__CreateFunctionStmt>(m, pg_query__create_function_stmt__descriptor)) qualified(f->funcname, f->n_funcname);
    if (const auto* t = ast::as<PgQuery__AlterEnumStmt>(m, pg_query__alter_enum_stmt__descriptor)) qualified(t->type_name, t->n_type_name);
    if (const auto* t = ast::as<PgQuery__AlterDomainStmt>(m, pg_query__alter_domain_stmt__descriptor)) qualified(t->type_name, t->n_type_name);
    const auto* drop = ast::as<PgQuery__DropStmt>(m, pg_query__drop_stmt__descriptor);
    for (const auto* one : drop ? ast::list(drop->objects, drop->n_objects) : std::span<ast::node* const>()) {
      if (one->node_case == PG_QUERY__NODE__NODE_TYPE_NAME) qualified(one->type_name->names, one->type_name->n_names);
    }
  }

  const shard_map& map_;
  bool reads_;  // reference tables are only read
  std::string subject_;
  std::optional<refusal> call_;  // of a function that may not be called
};

std::string_view verb(const ast::node& n) noexcept {
  switch (n.node_case) {
    case PG_QUERY__NODE__NODE_TRUNCATE_STMT: return "TRUNCATE";
    case PG_QUERY__NODE__NODE_LOCK_STMT: return "LOCK";
    case PG_QUERY__NODE__NODE_COPY_STMT: return "COPY";
    case PG_QUERY__NODE__NODE_VACUUM_STMT: return n.vacuum_stmt->is_vacuumcmd ? "VACUUM" : "ANALYZE";
    case PG_QUERY__NODE__NODE_GRANT_STMT: return "GRANT or REVOKE";
    case PG_QUERY__NODE__NODE_CREATE_STMT: return "CREATE TABLE";
    case PG_QUERY__NODE__NODE_CREATE_TABLE_AS_STMT: return "CREATE TABLE AS";
    case PG_QUERY__NODE__NODE_VIEW_STMT: return "CREATE VIEW";
    case PG_QUERY__NODE__NODE_INDEX_STMT: return "CREATE INDEX";
    case PG_QUERY__NODE__NODE_CREATE_TRIG_STMT: return "CREATE TRIGGER";
    case PG_QUERY__NODE__NODE_ALTER_TABLE_STMT:
    case PG_QUERY__NODE__NODE_RENAME_STMT: return "ALTER";
    case PG_QUERY__NODE__NODE_ALTER_SEQ_STMT: return "ALTER SEQUENCE";
    case PG_QUERY__NODE__NODE_DROP_STMT: return "DROP";
    case PG_QUERY__NODE__NODE_COMMENT_STMT: return "COMMENT";
    case PG_QUERY__NODE__NODE_REINDEX_STMT: return "REINDEX";
    case PG_QUERY__NODE__NODE_CLUSTER_STMT: return "CLUSTER";
    default: return "this command";
  }
}

// Other commands may make temporary objects or run code: event triggers, the body of DO, functions in a CREATE TABLE AS.
bool leaves_nothing(const ast::node& n) noexcept {
  switch (n.node_case) {
    case PG_QUERY__NODE__NODE_TRUNCATE_STMT:
    case PG_QUERY__NODE__NODE_LOCK_STMT:
    case PG_QUERY__NODE__NODE_COPY_STMT:
    case PG_QUERY__NODE__NODE_VACUUM_STMT:
    case PG_QUERY__NODE__NODE_REINDEX_STMT:
    case PG_QUERY__NODE__NODE_CLUSTER_STMT:
    case PG_QUERY__NODE__NODE_CHECK_POINT_STMT: return true;
    default: return false;
  }
}

// CREATE DOMAIN, CREATE TYPE: its name.
std::span<ast::node* const> type_made(const ast::node& n) noexcept {
  switch (n.node_case) {
    case PG_QUERY__NODE__NODE_CREATE_DOMAIN_STMT: return ast::list(n.create_domain_stmt->domainname, n.create_domain_stmt->n_domainname);
    case PG_QUERY__NODE__NODE_CREATE_ENUM_STMT: return ast::list(n.create_enum_stmt->type_name, n.create_enum_stmt->n_type_name);
    case PG_QUERY__NODE__NODE_CREATE_RANGE_STMT: return ast::list(n.create_range_stmt->type_name, n.create_range_stmt->n_type_name);
    default: return {};
  }
}

// What sessions will start with.
const PgQuery__VariableSetStmt* stored_setting(const ast::node& n) noexcept {
  switch (n.node_case) {
    case PG_QUERY__NODE__NODE_ALTER_ROLE_SET_STMT: return n.alter_role_set_stmt->setstmt;
    case PG_QUERY__NODE__NODE_ALTER_DATABASE_SET_STMT: return n.alter_database_set_stmt->setstmt;
    case PG_QUERY__NODE__NODE_ALTER_SYSTEM_STMT: return n.alter_system_stmt->setstmt;
    default: return nullptr;
  }
}

statement_plan elsewhere(const ast::node& n, const shard_map& map, bool reads, statement_kind kind = statement_kind::query) {
  const auto type = ast::name_of(type_made(n));
  if (type.schema == "pg_temp" && is_key_type(type.name)) return refused_plan(hidden_type(type.name));
  mention_finder finder(map, reads);
  finder.visit(n.base);
  if (auto why = finder.refused(verb(n))) return refused_plan(*std::move(why));
  statement_plan plan = plan_to(destination_kind::default_shard, kind);
  if (!leaves_nothing(n)) plan.effects.makes = state::anything;
  plan.execute = std::move(finder.execute);
  return plan;
}

// The text of DO, and the body of a new function. Where it names a sharded or reference table it would run for one shard's part only.
statement_plan with_body(const ast::node& n, std::string_view command, const shard_map& map) {
  const auto named = table_named_in_texts(n.base, map);
  if (!named.empty()) return refused_plan(text_touches(command, named));
  return elsewhere(n, map, false);
}

// What a trigger, rule or check of the table does beside.
const hidden_access* hidden_write_to(const ast::node& n, const shard_map& map) {
  const auto of = [&](const PgQuery__RangeVar* r) {
    return r ? map.find_hidden(hidden_access::by::write, ast::text(r->schemaname), ast::text(r->relname)) : nullptr;
  };
  if (n.node_case == PG_QUERY__NODE__NODE_COPY_STMT) return n.copy_stmt->is_from ? of(n.copy_stmt->relation) : nullptr;
  if (n.node_case != PG_QUERY__NODE__NODE_TRUNCATE_STMT) return nullptr;
  for (const auto* relation : ast::list(n.truncate_stmt->relations, n.truncate_stmt->n_relations)) {
    const auto* found = relation->node_case == PG_QUERY__NODE__NODE_RANGE_VAR ? of(relation->range_var) : nullptr;
    if (found) return found;
  }
  return nullptr;
}

statement_kind copy_kind(const PgQuery__CopyStmt& s) noexcept {
  if (s.is_program || !ast::text(s.filename).empty()) return statement_kind::query;  // a file of the server
  return s.is_from ? statement_kind::copy_in : statement_kind::copy_out;
}

utility_plan declare(const PgQuery__DeclareCursorStmt& s) {
  constexpr int with_hold = 0x0020;  // CURSOR_OPT_HOLD, parsenodes.h
  return {leaves((s.options & with_hold) != 0 ? state::held_cursors : state_bits{}), s.query};
}

}  // namespace

utility_plan read_utility(const ast::node& n, const shard_map& map) {
  if (auto plan = simple_plan(n)) return {*std::move(plan), nullptr};
  if (const auto* set = stored_setting(n))
    if (auto why = misleading(*set)) return {refused_plan(*std::move(why)), nullptr};
  if (auto why = of_all_shards(n, map)) return {refused_plan(*std::move(why)), nullptr};
  if (const auto* hidden = hidden_write_to(n, map)) return {refused_plan(hidden_write(*hidden)), nullptr};
  switch (n.node_case) {
    case PG_QUERY__NODE__NODE_EXPLAIN_STMT: return {{}, n.explain_stmt->query};
    case PG_QUERY__NODE__NODE_DECLARE_CURSOR_STMT: return declare(*n.declare_cursor_stmt);
    case PG_QUERY__NODE__NODE_COPY_STMT: {
      const auto kind = copy_kind(*n.copy_stmt);
      if (n.copy_stmt->query) return {plan_to(destination_kind::any, kind), n.copy_stmt->query};
      return {elsewhere(n, map, false, kind), nullptr};
    }
    case PG_QUERY__NODE__NODE_DO_STMT: return {with_body(n, "DO", map), nullptr};
    case PG_QUERY__NODE__NODE_CREATE_FUNCTION_STMT: return {with_body(n, "CREATE FUNCTION or PROCEDURE", map), nullptr};
    case PG_QUERY__NODE__NODE_CREATE_TABLE_AS_STMT:
    case PG_QUERY__NODE__NODE_VIEW_STMT:
    case PG_QUERY__NODE__NODE_CALL_STMT: return {elsewhere(n, map, true), nullptr};
    default: return {elsewhere(n, map, false), nullptr};
  }
}

}  // namespace routing
