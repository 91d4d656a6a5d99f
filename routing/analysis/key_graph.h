// What a statement's conditions say about shard key values, as a graph: one vertex for each use of a sharded table and for each column
// of a subquery that carries key values, one edge "the values of this are among the values of that". A use is proven when a chain of
// edges leads it to constants. Built and solved once for one statement by the analysis.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "routing/analysis/key_constant.h"
#include "routing/analysis/plan.h"
#include "routing/map/shard_map.h"

namespace routing {

using vertex = std::size_t;

class key_graph {
 public:
  explicit key_graph(const shard_map& map) : map_(map) {}

  // A use of a sharded table under the name that the statement shows for it. `stores`: the use is an INSERT into the table.
  vertex add_table(const table&, std::string shown_as, bool stores = false);
  // A column of a subquery whose values all come from `sources`, or are among `constants`.
  vertex add_column(const std::vector<vertex>& sources);
  vertex add_constants(std::vector<key_constant> constants);

  // A condition limits the key of table use `v` to these constants. Columns of subqueries take none: their type is not known.
  void limit(vertex v, std::vector<key_constant> values);
  // A condition limits the values of table use `v` to those of `to`.
  void follow(vertex v, vertex to);
  // The rows of table use `v` are given this key, which has to be the one that they have.
  void assign(vertex v, key_constant);
  // Remembers why a condition on `v` proves nothing; the first reason is told to the client.
  void explain(vertex v, std::string why);

  bool has_tables() const noexcept { return tables_ > 0; }
  std::optional<distribution_id> first_distribution() const noexcept;
  std::string_view first_table() const noexcept;  // as shown; empty if there is none
  std::size_t size() const noexcept { return vertices_.size(); }
  key_type type_of(vertex v) const noexcept;  // of a table use
  bool is_table(vertex v) const noexcept { return vertices_[v].used != nullptr; }

  struct use {
    const routing::table* table;
    std::string_view shown_as, why;
    bool stores;
  };
  // Propagates; returns the first use without proof.
  std::optional<use> solve();
  // After solve() found none missing: the constants behind every table use, each once, and those assigned.
  std::vector<key_source> keys() const;

 private:
  using constants = std::shared_ptr<const std::vector<key_constant>>;
  struct values {
    constants among;
    std::optional<distribution_id> from;  // they are keys of this distribution
  };
  struct entry {
    const routing::table* used = nullptr;  // none: a column of a subquery
    std::string shown_as, why;
    bool stores = false;
    std::vector<vertex> sources;    // of a column: all must be known
    std::vector<vertex> followers;  // become known when this does
    std::vector<key_constant> assigned;
    std::optional<values> known;
  };
  std::optional<values> merged(const entry&);
  bool accepts(const entry&, const values&) const;
  void settle(vertex, std::vector<vertex>& changed);

  const shard_map& map_;
  std::vector<entry> vertices_;
  std::size_t tables_ = 0, merged_ = 0;
};

}  // namespace routing
