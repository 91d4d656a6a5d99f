// Reads one SELECT, INSERT, UPDATE, DELETE or MERGE with all its levels and builds its key graph. Made for one statement, used on
// one thread, dropped. Split over query_analysis.cc (SELECT), from_clause.cc, conditions.cc and modifications.cc.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "routing/analysis/key_graph.h"
#include "routing/analysis/scope.h"

namespace routing {

class query_analysis {
 public:
  explicit query_analysis(const shard_map& map) : map_(map), graph_(map) {}

  void read(const ast::node& statement);

  // Valid after read(); keys() after graph().solve() found nothing unproven.
  key_graph& graph() noexcept { return graph_; }
  std::vector<key_source> keys() const;
  const std::optional<refusal>& refused() const noexcept { return refused_; }
  const std::string& local_table() const noexcept { return local_table_; }  // one that is on the default shard only; empty: none
  bool writes() const noexcept { return writes_; }
  bool locks_rows() const noexcept { return locks_rows_; }
  bool may_have_effects() const noexcept { return may_have_effects_; }  // calls a function that is not known to be harmless
  bool is_unbound() const noexcept { return is_unbound_; }  // reads no relation, and calls nothing that a shard or the transaction has a say in
  const session_effects& effects() const noexcept { return effects_; }
  const std::string& home_effect() const noexcept { return home_effect_; }

 private:
  using nodes = std::span<ast::node* const>;
  enum class usage { read, modify, store };
  using item_ptr = std::unique_ptr<from_item>;

  // query_analysis.cc
  row_shape statement(const ast::message&, const scope* outer, const cte_frame* ctes);
  row_shape select(const PgQuery__SelectStmt&, const scope* outer, const cte_frame* ctes);
  row_shape set_operation(const PgQuery__SelectStmt&, const scope* outer, const cte_frame* ctes);
  row_shape values(nodes rows, const scope& s);
  row_shape plain_select(const PgQuery__SelectStmt&, const scope* outer, const cte_frame* ctes);
  row_shape subselect(const ast::message&, const scope&);
  void define(const PgQuery__WithClause*, const scope* outer, cte_frame&);
  row_shape targets(nodes, const scope&, bool pass_through);
  row_shape::column target(const PgQuery__ResTarget&, const scope&, bool pass_through);
  void walk(const ast::message&, const scope&);
  void walk(nodes, const scope&);
  void call(const PgQuery__FuncCall&);
  void lock(nodes clauses, const std::vector<item_ptr>& from);
  void note_home_effect(std::string);
  void find_other_uses(const ast::message&);
  bool cast_away(std::size_t parameter, key_type) const;
  void refuse(refusal);
  scope::reference resolve(const scope&, const PgQuery__ColumnRef&);

  // from_clause.cc
  void from(nodes, scope&, std::vector<item_ptr>& owned);
  item_ptr item(const ast::node&, scope&);
  item_ptr table(const PgQuery__RangeVar&, const scope&, usage, std::optional<vertex>* use = nullptr);
  row_shape sharded(const routing::table&, const std::string& shown_as, usage, std::optional<vertex>* use);
  void unsharded(const routing::table* reference, std::string_view schema, std::string_view name, usage);
  item_ptr join(const PgQuery__JoinExpr&, scope&);
  void merge_columns(from_item&);
  void equal_columns(const from_item&, std::string_view name);

  // conditions.cc
  struct term {
    enum class kind { none, constant, key } is = kind::none;
    key_constant constant;
    vertex key = 0;
    bool limitable = false;  // a condition here may limit it
  };
  // `arm`: only what is below it is limited (the nullable side of an outer join); nullptr: whatever this level sees.
  void filter(const ast::node*, const scope&, const from_item* arm);
  // These say whether the condition was of use; if not, explain() notes why.
  bool compare(const PgQuery__AExpr&, const scope&, const from_item* arm);
  bool equate(const ast::node*, const ast::node*, const scope&, const from_item* arm);
  bool equate(const term&, const term&);
  bool among(const ast::node* tested, nodes list, const scope&, const from_item* arm);
  bool among_rows(nodes tested, nodes list, const scope&, const from_item* arm);
  bool semi_join(const PgQuery__SubLink&, const scope&, const from_item* arm);
  bool limit(const term&, std::vector<key_constant>);
  void note_key_use(vertex, const key_constant&);
  term read_term(const ast::node*, const scope&, const from_item* arm);
  void explain(const ast::node&, const scope&);
  void explain_columns(const ast::message&, const scope&, const std::string& why);

  // modifications.cc
  row_shape insert(const PgQuery__InsertStmt&, const scope* outer, const cte_frame* ctes);
  row_shape update(const PgQuery__UpdateStmt&, const scope* outer, const cte_frame* ctes);
  row_shape remove(const PgQuery__DeleteStmt&, const scope* outer, const cte_frame* ctes);
  row_shape merge(const PgQuery__MergeStmt&, const scope* outer, const cte_frame* ctes);
  void merge_action(const PgQuery__MergeWhenClause&, const routing::table*, std::optional<vertex> target, const scope&);
  void store(const routing::table&, vertex use, nodes columns, const PgQuery__SelectStmt*, const scope* outer, const cte_frame* ctes);
  void note_stored_target(vertex use, const PgQuery__SelectStmt&, std::size_t position);
  void store_values(vertex use, nodes rows, std::size_t position, const scope&);
  void on_conflict(const PgQuery__OnConflictClause&, const routing::table*, std::optional<vertex> use, const from_item& target, const cte_frame* ctes);
  void assign(nodes, const routing::table*, std::optional<vertex> use, const scope&, bool conflicts_by_key);
  bool keeps_key(const ast::node* value, const routing::table&, vertex use, const scope&, bool conflicts_by_key);

  const shard_map& map_;
  key_graph graph_;
  std::optional<refusal> refused_;
  std::string local_table_;
  session_effects effects_;
  std::string home_effect_;     // the first one
  std::string last_reference_;  // the last reference table that was read, of references_
  std::size_t references_ = 0;
  bool writes_ = false, locks_rows_ = false, may_have_effects_ = false, fills_table_ = false, is_unbound_ = true;
  // Uses of parameters, and the types of the keys that they are compared with or stored in.
  std::unordered_set<const PgQuery__ParamRef*> key_uses_;
  std::map<std::size_t, std::set<key_type>> key_types_;
  std::map<std::size_t, std::set<key_constant::cast_type>> casts_;
  std::set<std::size_t> used_otherwise_;
  std::size_t steps_ = 0;  // of name resolution so far
  std::unordered_map<const void*, row_shape> subselects_;  // each is read once, though conditions and walks both come to it
};

}  // namespace routing
