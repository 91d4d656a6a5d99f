#include "routing/analysis/hidden_text.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "routing/analysis/refusals.h"
#include "routing/text/text_scanner.h"

namespace routing {
namespace {

constexpr auto of_all_tables = std::to_array<std::string_view>({
    "database_to_xml", "database_to_xml_and_xmlschema", "database_to_xmlschema", "schema_to_xml", "schema_to_xml_and_xmlschema",
    "schema_to_xmlschema",
});
constexpr auto of_text = std::to_array<std::string_view>({
    "connectby", "crosstab", "crosstab2", "crosstab3", "crosstab4", "dblink", "dblink_exec", "dblink_open", "dblink_send_query", "query_to_xml",
    "query_to_xml_and_xmlschema", "query_to_xmlschema", "table_to_xml", "table_to_xml_and_xmlschema", "table_to_xmlschema", "ts_stat",
});
static_assert(std::is_sorted(of_all_tables.begin(), of_all_tables.end()) && std::is_sorted(of_text.begin(), of_text.end()));

std::string lower(std::string_view word) {
  std::string made(word);
  std::ranges::transform(made, made.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return made;
}

// The identifier that a token stands for, quotes taken off.
std::string identifier(const token& t) {
  if (t.kind == token_kind::word) return lower(t.text);
  if (t.kind != token_kind::quoted_word) return {};
  auto inside = t.text.substr(t.text.find('"') + 1);
  if (inside.ends_with('"')) inside.remove_suffix(1);
  std::string made(inside);
  for (auto at = made.find("\"\""); at != made.npos; at = made.find("\"\"", at + 1)) made.erase(at, 1);
  return made;
}

bool names_table(const std::string& word, const shard_map& map) {
  const auto& tables = map.tables();
  const bool is_table = std::any_of(tables.begin(), tables.end(), [&](const table& t) { return t.name == word; });
  if (is_table || map.is_dependent_view("", word)) return true;
  const auto* called = map.find_hidden(hidden_access::by::call, "", word);
  const auto* written = map.find_hidden(hidden_access::by::write, "", word);
  return (called && called->sharded) || written;
}

// The inside of '...' and $tag$...$tag$, as SQL that may stand there.
std::string_view inside_of(std::string_view literal) noexcept {
  const auto quote = literal.find_first_of("'$");
  if (quote == literal.npos) return {};
  const auto width = literal[quote] == '$' ? literal.find('$', quote + 1) + 1 - quote : 1;
  const auto from = quote + width;
  return literal.size() > from + width ? literal.substr(from, literal.size() - from - width) : std::string_view();
}

bool is_text(const ast::node* n) noexcept {
  n = ast::uncast(n);
  return n && n->node_case == PG_QUERY__NODE__NODE_A_CONST;
}

std::string_view literal_text(const ast::node* n) noexcept {
  n = ast::uncast(n);
  return n->a_const->val_case == PG_QUERY__A__CONST__VAL_SVAL ? ast::text(n->a_const->sval->sval) : std::string_view();
}

std::optional<refusal> refused_text(const PgQuery__FuncCall& call, std::string_view function, const shard_map& map) {
  for (const auto* argument : ast::list(call.args, call.n_args)) {
    if (!is_text(argument)) return text_unknown(function);
    const auto named = table_named_in(literal_text(argument), map);
    if (!named.empty()) return text_touches("the SQL given to " + std::string(function) + "()", named);
  }
  return std::nullopt;
}

// What a text means as regclass reads it.
std::pair<std::string, std::string> relation_named(std::string_view text) {
  std::pair<std::string, std::string> schema_and_name;
  text_scanner in(text);
  for (token t = in.next(); t.kind != token_kind::end; t = in.next()) {
    auto word = identifier(t);
    if (!word.empty()) schema_and_name = {std::move(schema_and_name.second), std::move(word)};
  }
  return schema_and_name;
}

// Of a sharded or reference table, which has one on each shard.
std::optional<refusal> refused_setval(const PgQuery__FuncCall& call, const shard_map& map) {
  const auto is_part = [](const hidden_access& h) { return h.how == hidden_access::by::part; };
  if (call.n_args == 0 || std::ranges::none_of(map.all().hidden, is_part)) return std::nullopt;
  const auto* argument = ast::uncast(call.args[0]);
  if (argument->node_case == PG_QUERY__NODE__NODE_FUNC_CALL) {
    const auto& inner = *argument->func_call;
    const auto f = ast::name_of(ast::list(inner.funcname, inner.n_funcname));
    if (!f.is_builtin() || f.name != "pg_get_serial_sequence" || inner.n_args == 0 || !is_text(inner.args[0])) return sequence_unknown();
    const auto [schema, name] = relation_named(literal_text(inner.args[0]));
    bool ambiguous = false;
    const bool known = map.find_table(schema, name, ambiguous) || ambiguous;
    return known ? std::optional(sequence_of_table("setval()", "pg_get_serial_sequence()", "table \"" + name + "\"")) : std::nullopt;
  }
  if (!is_text(argument) || literal_text(argument).empty()) return sequence_unknown();
  const auto [schema, name] = relation_named(literal_text(argument));
  const auto* of = map.find_hidden(hidden_access::by::part, schema, name);
  return of ? std::optional(sequence_of_table("setval()", name, of->what)) : std::nullopt;
}

}  // namespace

std::string table_named_in(std::string_view text, const shard_map& map) {
  text_scanner in(text);
  for (token t = in.next(); t.kind != token_kind::end; t = in.next()) {
    if (t.kind == token_kind::string || t.kind == token_kind::special_string) {
      auto found = table_named_in(inside_of(t.text), map);
      if (!found.empty()) return found;
      continue;
    }
    auto word = identifier(t);
    if (!word.empty() && names_table(word, map)) return word;
  }
  return {};
}

std::string table_named_in_texts(const ast::message& m, const shard_map& map) {
  if (const auto* s = ast::as<PgQuery__String>(m, pg_query__string__descriptor)) return table_named_in(ast::text(s->sval), map);
  std::string found;
  ast::for_each_child(m, [&](const ast::message& child) {
    if (found.empty()) found = table_named_in_texts(child, map);
  });
  return found;
}

bool runs_text(const ast::qualified_name& f) noexcept { return std::binary_search(of_text.begin(), of_text.end(), f.name); }

std::optional<refusal> refused_call(const PgQuery__FuncCall& call, const shard_map& map) {
  const auto f = ast::name_of(ast::list(call.funcname, call.n_funcname));
  if (f.schema != "pg_catalog") {
    const auto* hidden = map.find_hidden(hidden_access::by::call, f.schema, f.name);
    if (hidden && hidden->sharded) return hidden_call(*hidden);
  }
  if (map.tables().empty()) return std::nullopt;
  const bool all = f.is_builtin() && std::binary_search(of_all_tables.begin(), of_all_tables.end(), f.name);
  if (all) return text_touches(std::string(f.name) + "()", map.tables().front().name);
  if (f.is_builtin() && f.name == "setval") return refused_setval(call, map);
  return runs_text(f) ? refused_text(call, f.name, map) : std::nullopt;
}

bool calls_home(const ast::qualified_name& f, const shard_map& map) noexcept {
  return f.schema != "pg_catalog" && map.find_hidden(hidden_access::by::call, f.schema, f.name) != nullptr;
}

}  // namespace routing
