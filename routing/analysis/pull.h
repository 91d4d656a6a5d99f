// How one shard answers a statement that needs rows of several: its relations are copied there into temporary tables, and the statement runs on
// the copies (DESIGN 9, executor `pull`). Types, order and errors are PostgreSQL's own: nothing of the statement changes but the names of its relations.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "routing/map/shard_map.h"
#include "routing/text/ast.h"

namespace routing {

struct pulled_copy {
  std::string relation;                         // as the statement names it
  bool only = false;                            // without what inherits from it
  std::string name;                             // of the copy, for SQL
  std::optional<distribution_id> distribution;  // none: it is on the default shard alone
};

struct pull_plan {
  std::vector<pulled_copy> copies;
  std::string sql;         // the statement on the copies
  bool groups = false;     // a copy without the keys of its table would not let it name columns beside GROUP BY
  bool tells_time = false; // the time of another transaction would not be that of the client's
};

// Of one SELECT. nullopt: copies would not do. It names columns with their schema, asks where rows lie, or calls what only the client's own session
// or transaction can answer.
std::optional<pull_plan> plan_pull(std::string_view sql, const shard_map&);
std::optional<pull_plan> plan_pull(const ast::node& statement, std::string_view sql, const shard_map&);  // that was parsed from this text

// Words that PostgreSQL reads as the time at which a transaction began.
bool is_word_for_time(std::string_view literal) noexcept;

}  // namespace routing
