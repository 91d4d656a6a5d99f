// Row messages of the stream seen through the moving set: which table, which keys, inside the moving placements before and after.
// Views point into the message. Coordinator's thread.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "migration/mover/mover_context.h"
#include "protocol/pgoutput.h"

namespace migration {

// Relation messages, checked against the tables of the migration.
class relation_book {
 public:
  explicit relation_book(const std::vector<table_plan>& tables) : tables_(tables) {}
  // Throws when a table's name or columns are not what they were at PREPARE. With publish_via_partition_root pgoutput announces a
  // partition after its root, while all rows come under the root's number: what is none of the migration's is only remembered.
  void add(const protocol::pgoutput::relation&);
  std::size_t table(std::uint32_t relation) const;              // throws when the server has not announced it, or it does not move
  const std::vector<bool>& identity(std::size_t table) const;   // columns of the replica identity
  // A row as the stream brought it, without the generated columns that PostgreSQL 18 sends.
  protocol::pgoutput::tuple written(std::size_t table, const protocol::pgoutput::tuple& row) const;

 private:
  const std::vector<table_plan>& tables_;
  std::map<std::uint32_t, std::size_t> by_id_;
  std::map<std::uint32_t, std::string> others_;  // names
  std::map<std::size_t, std::vector<bool>> identity_;
  std::map<std::size_t, std::vector<std::size_t>> left_out_;  // places of generated columns among those of the Relation message
};

struct row_change {
  std::size_t table = 0;
  bool has_old = false, has_new = false;        // delete: old only; insert: new only
  bool moved = false;                           // an update that changes the primary key
  bool old_inside = false, new_inside = false;  // the moving placements
  protocol::pgoutput::tuple old_row, new_row;   // of an old row only the columns of the replica identity are certain
  std::string old_key, new_key;                 // ordered, of the slicing columns
};

// nullopt: not a row message, or no row of the moving set before or after. Throws when a key cannot be read.
std::optional<row_change> read_row_change(const protocol::pgoutput::change&, const relation_book&, const mover_context&);

// "\"shop\".\"orders\" (42, 7)" for messages.
std::string describe_row(const table_plan&, const protocol::pgoutput::tuple&);

}  // namespace migration
