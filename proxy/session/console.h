// Who answers what clients of the admin console type; admin.h does. Called by sessions from their workers' threads.
#pragma once

#include <string>

#include "migration/base/task.h"
#include "migration/plan/commands.h"

namespace proxy {

class console {
 public:
  // One statement. Throws migration::refused (sqlstate, message, detail, hint: unknown commands name the nearest ones) or sql_error.
  // An answer without columns has no rows to describe; a tag that is empty as well means that the statement was empty.
  virtual migration::task<migration::answer> execute(std::string sql) = 0;
  // The columns that its answer has, if it has any, without carrying it out. Throws as above.
  virtual migration::column_list columns(const std::string& sql) const = 0;

 protected:
  ~console() = default;
};

}  // namespace proxy
