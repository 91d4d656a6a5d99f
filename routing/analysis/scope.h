// Names of one query level: what FROM brings in, and what a column reference there means. Resolution follows PostgreSQL's rules
// (manual 7.2, 7.8) as far as shard keys need it; where it cannot be sure it says unknown, and nothing is proven.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "routing/analysis/key_graph.h"
#include "routing/text/ast.h"

namespace routing {

// Columns that a relation or a query yields. `keys[i]` is set when the column carries shard key values.
struct row_shape {
  struct column {
    std::string name;
    std::optional<vertex> key;
  };
  std::vector<column> columns;
  bool open = false;       // it may have names that are not listed
  bool positional = true;  // columns[i] is the i-th column

  static constexpr std::size_t max_columns = 1664;  // MaxTupleAttributeNumber: no query yields more
  static row_shape unknown() { return {{}, true, false}; }
};
// Is it one of PostgreSQL's own, the same on every shard? `schema` empty: as by search_path.
bool is_catalog(std::string_view schema, std::string_view name) noexcept;

// The shape under an alias with column names: o(a, b). Nothing is known if positions are not, or if there are too many names.
row_shape renamed(row_shape, const PgQuery__Alias*);

struct lookup {
  enum class result { absent, unknown, found };
  result outcome = result::absent;
  vertex key = 0;  // with found

  static lookup found(vertex v) { return {result::found, v}; }
  static lookup unknown() { return {result::unknown, 0}; }
  bool is_found() const noexcept { return outcome == result::found; }
  bool is_absent() const noexcept { return outcome == result::absent; }
};

// One item of FROM: a relation, or a join of two items.
struct from_item {
  std::string name;         // alias or table name, empty if not known; of a join: its alias, which hides the names inside
  std::string schema;       // of a table without alias
  row_shape shape;          // of a relation
  std::size_t relations = 1;  // in all, for a join
  std::string reference;    // a reference table of which a row lock on this item locks rows; empty: none
  bool shape_is_known = true;  // of a join: false if its alias renames columns
  std::unique_ptr<from_item> left, right;
  PgQuery__JoinType type = PG_QUERY__JOIN_TYPE__JOIN_INNER;
  bool natural = false;
  std::vector<std::string> merged;  // USING columns
  std::string using_alias;

  bool is_join() const noexcept { return left != nullptr; }
  lookup column(std::string_view name) const;
  lookup column(std::string_view schema, std::string_view relation, std::string_view name) const;
  row_shape star() const;  // what * yields
};

// What a WITH clause defines; the innermost frame is searched first.
struct cte_frame {
  struct cte {
    std::string name;
    row_shape shape;
  };
  const cte_frame* outer = nullptr;
  std::vector<cte> ctes;

  const row_shape* find(std::string_view name) const noexcept;
};

// One query level. Points to FROM items, frames and outer levels that live on the analysis' stack.
struct scope {
  const scope* outer = nullptr;
  const cte_frame* ctes = nullptr;
  std::vector<const from_item*> visible;
  std::vector<const from_item*> hidden;  // siblings that this place must not name: a name of theirs is unknown, never an outer one

  struct reference {
    lookup what;
    bool own = false;  // found at this level, not further out
  };
  // Adds to `steps` what the search cost: names times relations is what a hostile statement makes large.
  reference resolve(const PgQuery__ColumnRef&, std::size_t& steps) const;
  row_shape star(const PgQuery__ColumnRef&) const;  // of * or relation.*
};

}  // namespace routing
