#include "routing/utility.h"

#include <string>
#include <utility>

#include "routing/functions.h"
#include "routing/refusals.h"

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
    default: return refused_plan(session_state("a prepared transaction", "Connect to the shard directly for two-phase commit."));
  }
  return plan;
}

statement_plan set_variable(const PgQuery__VariableSetStmt& s) {
  const auto name = ast::text(s.name);
  const bool multi = s.kind == PG_QUERY__VARIABLE_SET_KIND__VAR_SET_MULTI;
  if (s.is_local || (multi && name.starts_with("TRANSACTION"))) return plan_to(destination_kind::any, statement_kind::set_local);
  return refused_plan(session_state(
      s.kind == PG_QUERY__VARIABLE_SET_KIND__VAR_RESET || s.kind == PG_QUERY__VARIABLE_SET_KIND__VAR_RESET_ALL ? "RESET" : "SET for the session",
      "Use SET LOCAL inside a transaction, a startup parameter of the connection, or ALTER ROLE ... SET on each shard."));
}

statement_plan discard(const PgQuery__DiscardStmt& s) {
  const bool all = s.target == PG_QUERY__DISCARD_MODE__DISCARD_ALL;
  return plan_to(destination_kind::any, all ? statement_kind::discard_all : statement_kind::query);
}

statement_plan deallocate(const PgQuery__DeallocateStmt& s) {
  if (!ast::text(s.name).empty()) {
    return refused_plan(session_state("DEALLOCATE of one statement", "Close prepared statements with the driver's own call, or use DEALLOCATE ALL."));
  }
  return plan_to(destination_kind::any, statement_kind::deallocate_all);
}

// Statements that say all there is to say by their type.
std::optional<statement_plan> simple_plan(const ast::node& n) {
  switch (n.node_case) {
    case PG_QUERY__NODE__NODE_TRANSACTION_STMT: return transaction(*n.transaction_stmt);
    case PG_QUERY__NODE__NODE_VARIABLE_SET_STMT: return set_variable(*n.variable_set_stmt);
    case PG_QUERY__NODE__NODE_CONSTRAINTS_SET_STMT: return plan_to(destination_kind::any, statement_kind::set_local);
    case PG_QUERY__NODE__NODE_DISCARD_STMT: return discard(*n.discard_stmt);
    case PG_QUERY__NODE__NODE_DEALLOCATE_STMT: return deallocate(*n.deallocate_stmt);
    case PG_QUERY__NODE__NODE_VARIABLE_SHOW_STMT:
    case PG_QUERY__NODE__NODE_FETCH_STMT:
    case PG_QUERY__NODE__NODE_CLOSE_PORTAL_STMT:
    case PG_QUERY__NODE__NODE_NOTIFY_STMT:
    case PG_QUERY__NODE__NODE_UNLISTEN_STMT: return plan_to(destination_kind::any);
    case PG_QUERY__NODE__NODE_LISTEN_STMT: return refused_plan(session_state("LISTEN", "Listen on a direct connection to a shard."));
    case PG_QUERY__NODE__NODE_LOAD_STMT: return refused_plan(session_state("LOAD", "Use session_preload_libraries on the shards."));
    case PG_QUERY__NODE__NODE_PREPARE_STMT:
    case PG_QUERY__NODE__NODE_EXECUTE_STMT:
      return refused_plan(session_state("PREPARE and EXECUTE as SQL", "Use the driver's prepared statements, which pgrotor carries."));
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
    if (const auto* f = ast::as<PgQuery__FuncCall>(m, pg_query__func_call__descriptor)) {
      if (auto why = refuse_session_function(*f); why && !session_) session_ = std::move(why);
    }
    if (m.descriptor == &pg_query__execute_stmt__descriptor) {
      session_ = session_state("PREPARE and EXECUTE as SQL", "Use the driver's prepared statements, which pgrotor carries.");
    }
    ast::for_each_child(m, [&](const ast::message& child) { visit(child); });
  }

  std::optional<refusal> refused(std::string_view what) const {
    if (session_) return session_;
    if (!table_.empty()) return run_on_each_shard(what, table_);
    return std::nullopt;
  }

 private:
  void relation(const PgQuery__RangeVar& r) {
    if (ast::text(r.relpersistence) == "t" || ast::text(r.schemaname).starts_with("pg_temp")) {
      session_ = session_state("a temporary table", "Use a CTE or an ordinary table.");
    }
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
    if (counts && table_.empty()) table_ = table;
  }

  const shard_map& map_;
  bool reads_;  // reference tables are only read
  std::string table_;
  std::optional<refusal> session_;
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
    case PG_QUERY__NODE__NODE_DROP_STMT: return "DROP";
    case PG_QUERY__NODE__NODE_COMMENT_STMT: return "COMMENT";
    case PG_QUERY__NODE__NODE_REINDEX_STMT: return "REINDEX";
    case PG_QUERY__NODE__NODE_CLUSTER_STMT: return "CLUSTER";
    default: return "this command";
  }
}

statement_plan elsewhere(const ast::node& n, const shard_map& map, bool reads, statement_kind kind = statement_kind::query) {
  mention_finder finder(map, reads);
  finder.visit(n.base);
  if (auto why = finder.refused(verb(n))) return refused_plan(*std::move(why));
  return plan_to(destination_kind::default_shard, kind);
}

statement_kind copy_kind(const PgQuery__CopyStmt& s) noexcept {
  if (s.is_program || !ast::text(s.filename).empty()) return statement_kind::query;  // a file of the server
  return s.is_from ? statement_kind::copy_in : statement_kind::copy_out;
}

utility_plan declare(const PgQuery__DeclareCursorStmt& s) {
  constexpr int with_hold = 0x0020;  // CURSOR_OPT_HOLD, parsenodes.h
  if ((s.options & with_hold) != 0) {
    return {refused_plan(session_state("a cursor WITH HOLD", "Use a cursor that ends with its transaction.")), nullptr};
  }
  return {{}, s.query};
}

}  // namespace

utility_plan read_utility(const ast::node& n, const shard_map& map) {
  if (auto plan = simple_plan(n)) return {*std::move(plan), nullptr};
  switch (n.node_case) {
    case PG_QUERY__NODE__NODE_EXPLAIN_STMT: return {{}, n.explain_stmt->query};
    case PG_QUERY__NODE__NODE_DECLARE_CURSOR_STMT: return declare(*n.declare_cursor_stmt);
    case PG_QUERY__NODE__NODE_COPY_STMT: {
      const auto kind = copy_kind(*n.copy_stmt);
      if (n.copy_stmt->query) return {plan_to(destination_kind::any, kind), n.copy_stmt->query};
      return {elsewhere(n, map, false, kind), nullptr};
    }
    case PG_QUERY__NODE__NODE_CREATE_TABLE_AS_STMT:
    case PG_QUERY__NODE__NODE_VIEW_STMT:
    case PG_QUERY__NODE__NODE_CALL_STMT: return {elsewhere(n, map, true), nullptr};
    default: return {elsewhere(n, map, false), nullptr};
  }
}

}  // namespace routing
