// Who holds a term: a name that no other coordinator ever has, and a description by which a successor on the same machine can tell that
// the process is gone without waiting for its lease. Any thread.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

namespace migration {

struct term_owner {
  std::string process;  // random, new for each coordinator object
  std::string holder;   // "host=db1 pid=4711 start=123456 boot=... pids=..."
  std::chrono::milliseconds lease{10'000};
};

term_owner make_term_owner(std::chrono::milliseconds lease);

// True when the described process ran on this machine, since its last start and among the processes that this one can see, and is there
// no more. False when that is not certain.
bool process_is_gone(std::string_view holder);

}  // namespace migration
