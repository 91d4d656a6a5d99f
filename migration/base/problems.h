// Collects everything that keeps a command from being done, so that a DBA sees all of it at once. Used by prepare and checks.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "migration/base/refused.h"

namespace migration {

class problems {
 public:
  void add(std::string_view sqlstate, std::string message, std::string detail, std::string hint);
  void add(protocol::notice);  // one that is there already is not taken twice
  // Those of one shard, its name in front; with `once` only what has not been said without one.
  void add_of(const std::string& where, const problems& others, bool once = false);
  bool empty() const noexcept { return found_.empty(); }
  std::size_t count() const noexcept { return found_.size(); }
  const std::vector<protocol::notice>& all() const noexcept { return found_; }
  // Throws refused: a single problem as it is, several under the first one's SQLSTATE, a line each.
  void refuse_if_any(const std::string& what) const;

 private:
  std::vector<protocol::notice> found_;
};

}  // namespace migration
