#include "migration/catalog/process_mark.h"

#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <fmt/format.h>

namespace {

std::string replaced(std::string text, const std::string& key, const std::string& value) {
  const auto at = text.find(key + "=") + key.size() + 1;
  return text.replace(at, text.find(' ', at) - at, value);
}

// The number of a process that has been here.
std::string ended_pid() {
  const auto child = fork();
  if (child == 0) _exit(0);
  waitpid(child, nullptr, 0);
  return std::to_string(child);
}

}  // namespace

TEST_CASE("process_mark: a process is gone only when that is certain") {
  const auto mine = migration::make_term_owner(std::chrono::milliseconds(1)).holder;
  struct row {
    const char* name;
    std::string holder;
    bool gone;
  };
  const std::vector<row> rows{{"alive", mine, false},
                              {"ended", replaced(mine, "pid", ended_pid()), true},
                              {"another process has its number", replaced(mine, "start", "1"), true},
                              {"before the last start of a machine, or on another one", replaced(replaced(mine, "pid", ended_pid()), "boot", "0"), false},
                              {"in another container", replaced(replaced(mine, "pid", ended_pid()), "pids", "pid:[1]"), false},
                              {"nonsense", "host=a pid=x", false},
                              {"nobody", "", false}};
  for (const auto& row : rows) {
    CAPTURE(row.name);
    CAPTURE(row.holder);
    CHECK(migration::process_is_gone(row.holder) == row.gone);
  }
}

TEST_CASE("process_mark: no two coordinators have the same name") {
  CHECK(migration::make_term_owner({}).process != migration::make_term_owner({}).process);
}
