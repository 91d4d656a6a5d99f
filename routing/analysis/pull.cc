#include "routing/analysis/pull.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "routing/analysis/functions.h"
#include "routing/analysis/scatter.h"
#include "routing/analysis/scope.h"
#include "routing/text/ast.h"
#include "routing/text/text_scanner.h"
#include "routing/text/words.h"

namespace routing {
namespace {

struct names_in_with {
  const names_in_with* outer;
  std::vector<std::string_view> names;
  bool has(std::string_view wanted) const noexcept {
    return std::find(names.begin(), names.end(), wanted) != names.end() || (outer && outer->has(wanted));
  }
};

// The relations that a statement names, without those that its own WITH defines.
class relation_finder {
 public:
  void visit(const ast::message&, const names_in_with*);

  std::vector<const PgQuery__RangeVar*> found;
  bool copies_do = true, groups = false, tells_time = false;

 private:
  void select(const PgQuery__SelectStmt&, const names_in_with*);
  void judge(const ast::message&);
};

void relation_finder::judge(const ast::message& m) {
  if (const auto* ref = ast::as<PgQuery__ColumnRef>(m, pg_query__column_ref__descriptor))
    copies_do = copies_do && ref->n_fields <= 2 && !is_system_column(*ref);
  if (const auto* f = ast::as<PgQuery__FuncCall>(m, pg_query__func_call__descriptor)) {
    const auto name = ast::name_of(ast::list(f->funcname, f->n_funcname));
    const bool began = tells_when_begun(name);
    tells_time = tells_time || began || name.name == "statement_timestamp";
    copies_do = copies_do && (began || is_unbound_call(*f));
  }
  tells_time = tells_time || is_current_time(m);
  if (const auto* c = ast::as<PgQuery__AConst>(m, pg_query__a__const__descriptor))
    tells_time = tells_time || (c->val_case == PG_QUERY__A__CONST__VAL_SVAL && is_word_for_time(ast::text(c->sval->sval)));
  if (m.descriptor == &pg_query__range_table_sample__descriptor) copies_do = false;
}

void relation_finder::visit(const ast::message& m, const names_in_with* with) {
  if (m.descriptor == &pg_query__locking_clause__descriptor) return;
  if (const auto* s = ast::as<PgQuery__SelectStmt>(m, pg_query__select_stmt__descriptor)) return select(*s, with);
  if (const auto* r = ast::as<PgQuery__RangeVar>(m, pg_query__range_var__descriptor)) {
    if (ast::text(r->schemaname).empty() && with && with->has(ast::text(r->relname))) return;
    found.push_back(r);
    return;
  }
  judge(m);
  ast::for_each_child(m, [&](const ast::message& child) { visit(child, with); });
}

// A part of WITH sees those before it, of WITH RECURSIVE all of them.
void relation_finder::select(const PgQuery__SelectStmt& s, const names_in_with* outer) {
  groups = groups || s.n_group_clause > 0;
  names_in_with here{outer, {}};
  if (s.with_clause) {
    const auto parts = ast::list(s.with_clause->ctes, s.with_clause->n_ctes);
    if (s.with_clause->recursive)
      for (const auto* part : parts) here.names.push_back(ast::text(part->common_table_expr->ctename));
    for (const auto* part : parts) {
      visit(part->common_table_expr->base, &here);
      here.names.push_back(ast::text(part->common_table_expr->ctename));
    }
  }
  ast::for_each_child(s.base, [&](const ast::message& child) {
    if (!s.with_clause || &child != &s.with_clause->base) visit(child, &here);
  });
}

// Where a name of so many parts, with points between them, stands in the text; nothing where it is written in a way that is not expected.
std::optional<std::string_view> written(std::string_view sql, std::size_t at, std::size_t parts) {
  text_scanner tokens(sql.substr(at));
  token last;
  for (std::size_t i = 0; i < 2 * parts - 1; ++i) {
    last = tokens.next();
    const bool is_name = last.kind == token_kind::word || last.kind == token_kind::quoted_word;
    if (i % 2 == 0 ? !is_name : last.text != ".") return std::nullopt;
  }
  const auto size = static_cast<std::size_t>(last.text.data() + last.text.size() - (sql.data() + at));
  if (tokens.next().text.starts_with('*')) return std::nullopt;
  return sql.substr(at, size);
}

bool ends_in_word(std::string_view text, std::string_view word) {
  while (!text.empty() && (text.back() == ' ' || text.back() == '\n' || text.back() == '\t' || text.back() == '\r')) text.remove_suffix(1);
  if (text.size() < word.size()) return false;
  return is_same_word(text.substr(text.size() - word.size()), word);
}

class rewriter {
 public:
  rewriter(std::string_view sql, const shard_map& map) : sql_(sql), map_(map) {}
  bool take(const PgQuery__RangeVar&);
  pull_plan finish(const relation_finder&);

 private:
  struct change {
    std::size_t at, size;
    std::string text;
  };
  const pulled_copy& copy_of(std::string_view relation, bool only, std::optional<distribution_id>);
  std::string_view sql_;
  const shard_map& map_;
  std::vector<change> changes_;
  pull_plan plan_;
};

const pulled_copy& rewriter::copy_of(std::string_view relation, bool only, std::optional<distribution_id> distribution) {
  for (const auto& known : plan_.copies)
    if (known.relation == relation && known.only == only) return known;
  plan_.copies.push_back({std::string(relation), only, fmt::format("pg_temp.pgrotor_copy_{}", plan_.copies.size() + 1), distribution});
  return plan_.copies.back();
}

bool rewriter::take(const PgQuery__RangeVar& r) {
  bool ambiguous = false;
  const auto* known = map_.find_table(ast::text(r.schemaname), ast::text(r.relname), ambiguous);
  if (ambiguous || !ast::text(r.catalogname).empty() || r.location < 0) return false;
  if ((known && !known->distribution) || (!known && is_catalog(ast::text(r.schemaname), ast::text(r.relname)))) return true;
  const auto at = static_cast<std::size_t>(r.location);
  const auto name = written(sql_, at, ast::text(r.schemaname).empty() ? 1 : 2);
  const auto before = sql_.substr(0, at);
  if (!name || (!r.inh && ends_in_word(before, "("))) return false;
  const auto& copy = copy_of(*name, !r.inh, known ? known->distribution : std::nullopt);
  const bool named = r.alias || ends_in_word(before, "table");
  changes_.push_back({at, name->size(), named ? copy.name : fmt::format("{} AS {}", copy.name, quoted_name(ast::text(r.relname)))});
  return true;
}

pull_plan rewriter::finish(const relation_finder& found) {
  std::sort(changes_.begin(), changes_.end(), [](const change& a, const change& b) { return a.at > b.at; });
  plan_.sql = sql_;
  for (const auto& each : changes_) plan_.sql.replace(each.at, each.size, each.text);
  plan_.groups = found.groups;
  plan_.tells_time = found.tells_time;
  return std::move(plan_);
}

}  // namespace

bool is_word_for_time(std::string_view literal) noexcept {
  constexpr auto words = std::to_array<std::string_view>({"now", "today", "tomorrow", "yesterday"});
  const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  const auto from = std::find_if(literal.begin(), literal.end(), is_letter);
  const auto word = std::string_view(from, std::find_if_not(from, literal.end(), is_letter));
  return std::any_of(words.begin(), words.end(), [&](std::string_view one) { return is_same_word(word, one); });
}

std::optional<pull_plan> plan_pull(std::string_view sql, const shard_map& map) {
  const auto tree = ast::tree::parse(std::string(sql));
  if (!tree || tree->statements().size() != 1) return std::nullopt;
  return plan_pull(*tree->statements().front()->stmt, sql, map);
}

std::optional<pull_plan> plan_pull(const ast::node& statement, std::string_view sql, const shard_map& map) {
  if (statement.node_case != PG_QUERY__NODE__NODE_SELECT_STMT) return std::nullopt;
  relation_finder finder;
  finder.visit(statement.base, nullptr);
  rewriter made(sql, map);
  if (!finder.copies_do || !std::all_of(finder.found.begin(), finder.found.end(), [&](const auto* r) { return made.take(*r); })) return std::nullopt;
  auto plan = made.finish(finder);
  if (plan.copies.empty() || !ast::tree::parse(plan.sql)) return std::nullopt;
  return plan;
}

}  // namespace routing
