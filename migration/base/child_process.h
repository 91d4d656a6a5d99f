// Runs a program and collects what it writes, without blocking the thread. No shell; secrets go through the environment, never
// through arguments, which everybody on the machine can read.
#pragma once

#include <string>
#include <vector>

#include "migration/base/task.h"

namespace migration {

struct child_result {
  int exit_code = 0;  // 128 + signal when it was killed
  std::string output, errors;
};
// `environment` (NAME=value) is added to this process's own. Throws std::system_error when the program cannot be started; a child
// that outlives `budget` is killed.
task<child_result> run_child(std::vector<std::string> arguments, std::vector<std::string> environment, milliseconds budget);

}  // namespace migration
