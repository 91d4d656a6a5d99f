// Stop points and rule mutations for tests; compiled away unless PGROTOR_TEST_HOOKS is defined. The admin console drives them:
//   TEST STOP '<point>'      the next coroutine that reaches it waits there          TEST RELEASE '<point>'
//   TEST WAIT '<point>'      answers when something waits there (30 s at most)       TEST KILL '<point>'  SIGKILL on reaching it
//   TEST BREAK '<rule>'      the rule is left out from now on                        TEST MEND '<rule>'
// The same can be set at start by PGROTOR_TEST="kill:cutover.4,stop:mover.chunk_read,break:no_guard".
// Points: cutover.1 ... cutover.6 (the step has been done), mover.chunk_read (chunk read, not yet loaded), mover.event (before an
// event is judged), mover.batch (before the target commits), state.<STATE> (the state was persisted),
// prepare.guards and others in prepare.cc, cleaned (all has been removed, DONE is not persisted).
// Rules: no_guard, no_exclusive_lock, stale_marker, no_visibility, apply_twice; lose_answer (the catalog's answer to a command is lost);
// no_barrier (a commit over several shards does not keep statements over several shards waiting);
// no_missed, no_going_back, no_left_over (what shards of one transaction are told, and the recoverer: session_branches.cc, session_commit.cc);
// recover_by_age, purge_early, purge_prepared, locks_first (of the recoverer); session_fails (a client's session throws when KILL ends it).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "migration/base/task.h"

namespace migration::test_hooks {

#ifdef PGROTOR_TEST_HOOKS
// Call as: PGROTOR_STOP_POINT("cutover.2");
task<void> stop_point(std::string name);
bool broken(std::string_view rule);
void load_environment();
// The console's TEST verbs (coordinator's thread). Throws std::invalid_argument on an unknown verb.
task<std::string> command(std::string verb, std::string name);
#define PGROTOR_STOP_POINT(name)                                \
  do {                                                          \
    std::string pgrotor_point{name};                            \
    co_await ::migration::test_hooks::stop_point(pgrotor_point); \
  } while (false)
#else
inline constexpr bool broken(std::string_view) { return false; }
inline void load_environment() {}
#define PGROTOR_STOP_POINT(name) static_cast<void>(0)
#endif

}  // namespace migration::test_hooks
