#include "routing/text/ast.h"

#include <pg_query.h>

namespace routing::ast {

void tree::free_unpacked::operator()(PgQuery__ParseResult* root) const noexcept { pg_query__parse_result__free_unpacked(root, nullptr); }

std::optional<tree> tree::parse(const std::string& sql) {
  const PgQueryProtobufParseResult result = pg_query_parse_protobuf(sql.c_str());
  tree parsed;
  if (!result.error) {
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(result.parse_tree.data);
    parsed.root_.reset(pg_query__parse_result__unpack(nullptr, result.parse_tree.len, bytes));
  }
  pg_query_free_protobuf_parse_result(result);
  if (!parsed.root_) return std::nullopt;
  return parsed;
}

std::span<PgQuery__RawStmt* const> tree::statements() const noexcept { return {root_->stmts, root_->n_stmts}; }

const message* payload(const node* n) noexcept {
  if (!n || n->node_case == PG_QUERY__NODE__NODE__NOT_SET) return nullptr;
  return reinterpret_cast<const message*>(n->alias);  // every member of the union is a pointer to a message
}

std::string_view string_of(const node* n) noexcept {
  return n && n->node_case == PG_QUERY__NODE__NODE_STRING ? text(n->string->sval) : std::string_view();
}

qualified_name name_of(std::span<node* const> parts) noexcept {
  qualified_name found;
  if (parts.empty()) return found;
  found.name = string_of(parts.back());
  if (parts.size() > 1) found.schema = string_of(parts[parts.size() - 2]);
  return found;
}

}  // namespace routing::ast
