// Collects everything that keeps a command from being done, so that a DBA sees all of it at once. Used by prepare and checks.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "migration/prepare.h"

namespace migration {

class problems {
 public:
  void add(std::string_view sqlstate, std::string message, std::string detail, std::string hint);
  bool empty() const noexcept { return found_.empty(); }
  // Throws refused: a single problem as it is, several under the first one's SQLSTATE, a line each.
  void refuse_if_any(const std::string& what) const;

 private:
  std::vector<protocol::notice> found_;
};

}  // namespace migration
