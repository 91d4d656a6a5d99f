// Statements that a client made with PREPARE as SQL: their names are the client's own, and whatever server runs EXECUTE is given them
// first. One of these for the session, and one for each server that has been given any (which is pinned, so that names of different
// clients never meet). Plain state, worker's thread only.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "routing/analysis/plan.h"

namespace proxy {

using sql_prepare_ptr = std::shared_ptr<const routing::sql_prepare>;

class sql_statements {
 public:
  sql_prepare_ptr find(std::string_view name) const;
  void set(sql_prepare_ptr);
  void erase(std::string_view name);
  void clear() noexcept { known_.clear(); }
  bool empty() const noexcept { return known_.empty(); }
  const std::vector<sql_prepare_ptr>& all() const noexcept { return known_; }

 private:
  std::vector<sql_prepare_ptr> known_;
};

// What the transaction under way has done with names, until the server has said what became of it.
class sql_changes {
 public:
  void made(sql_prepare_ptr);
  void dropped(std::string_view name);
  // Newest first; nullptr: nothing was made under that name.
  sql_prepare_ptr find(std::string_view name) const;
  bool has_dropped(std::string_view name) const;
  void clear() noexcept;

 private:
  std::vector<sql_prepare_ptr> made_;
  std::vector<std::string> dropped_;
};

// `found` is what the server has. Brings the session's and the server's book in line with it.
void settle_statements(const std::vector<std::string>& found, const sql_changes&, sql_statements& of_session, sql_statements& of_server);

}  // namespace proxy
