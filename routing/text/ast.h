// A text parsed by libpg_query and unpacked with protobuf-c, and the few ways the analysis walks it. Only the .cc files of this folder
// include this; nobody else sees libpg_query's types.
#pragma once

#include <pg_query/pg_query.pb-c.h>

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace routing::ast {

using node = PgQuery__Node;
using message = ProtobufCMessage;

// Owns the tree. Strings and nodes found in it live as long as it does.
class tree {
 public:
  // nullopt: the text does not parse.
  static std::optional<tree> parse(const std::string& sql);
  std::span<PgQuery__RawStmt* const> statements() const noexcept;

 private:
  struct free_unpacked {
    void operator()(PgQuery__ParseResult*) const noexcept;
  };
  std::unique_ptr<PgQuery__ParseResult, free_unpacked> root_;
};

// The nodes of a repeated field.
inline std::span<node* const> list(node* const* items, std::size_t count) noexcept { return {items, count}; }

// What a Node holds, nullptr if nothing.
const message* payload(const node*) noexcept;

inline std::string_view text(const char* string) noexcept { return string ? std::string_view(string) : std::string_view(); }

// The text of a String node; empty for any other.
std::string_view string_of(const node*) noexcept;

// * or relation.*
inline bool is_star(const PgQuery__ColumnRef& ref) noexcept {
  return ref.n_fields > 0 && ref.fields[ref.n_fields - 1]->node_case == PG_QUERY__NODE__NODE_A_STAR;
}

// Under all casts; nullptr for none.
inline const node* uncast(const node* n) noexcept {
  while (n && n->node_case == PG_QUERY__NODE__NODE_TYPE_CAST) n = n->type_cast->arg;
  return n;
}

// A name given as a list of String nodes (function, operator or type), split into an optional schema and the last part.
struct qualified_name {
  std::string_view schema, name;
  bool is_builtin() const noexcept { return schema.empty() || schema == "pg_catalog"; }
};
qualified_name name_of(std::span<node* const> parts) noexcept;

// Calls visit(const message&) for each message directly below this one, whatever its type: nothing that a statement can hold is
// overlooked, node types that the analysis does not know included.
template <class Visit>
void for_each_child(const message& parent, Visit&& visit) {
  const char* base = reinterpret_cast<const char*>(&parent);
  if (parent.descriptor == &pg_query__node__descriptor) {
    if (const auto* held = payload(reinterpret_cast<const node*>(&parent))) visit(*held);
    return;
  }
  const auto& type = *parent.descriptor;
  for (unsigned i = 0; i < type.n_fields; ++i) {
    const auto& field = type.fields[i];
    if (field.type != PROTOBUF_C_TYPE_MESSAGE) continue;
    if (field.label == PROTOBUF_C_LABEL_REPEATED) {
      const auto count = *reinterpret_cast<const std::size_t*>(base + field.quantifier_offset);
      auto* const* items = *reinterpret_cast<message* const* const*>(base + field.offset);
      for (std::size_t k = 0; k < count; ++k) visit(*items[k]);
      continue;
    }
    const bool in_oneof = (field.flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0;
    if (in_oneof && *reinterpret_cast<const std::uint32_t*>(base + field.quantifier_offset) != field.id) continue;
    if (const auto* held = *reinterpret_cast<const message* const*>(base + field.offset)) visit(*held);
  }
}

// The message as T if it is of that type (`descriptor` is T's own), else nullptr.
template <class T>
const T* as(const message& m, const ProtobufCMessageDescriptor& descriptor) noexcept {
  return m.descriptor == &descriptor ? reinterpret_cast<const T*>(&m) : nullptr;
}

}  // namespace routing::ast
