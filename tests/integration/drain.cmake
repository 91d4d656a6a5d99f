# Drains under the ledger, kills, mutations, bad input. Each starts clusters of its own; two at a time would starve two processors, so
# they share one lock with nobody but the unit tests beside them.
function(pgrotor_cluster_test name seconds)
  add_test(NAME integration_${name} COMMAND /usr/bin/python3 -B ${CMAKE_CURRENT_SOURCE_DIR}/${ARGN})
  set_tests_properties(integration_${name} PROPERTIES ENVIRONMENT "${PGROTOR_TEST_ENV}" TIMEOUT ${seconds} RESOURCE_LOCK clusters)
endfunction()

pgrotor_cluster_test(ledger_checker 120 ledger_checker.py)
pgrotor_cluster_test(drain_ledger 180 drain_ledger.py)
pgrotor_cluster_test(drain_killed 300 drain_killed.py)
pgrotor_cluster_test(drain_cdc 90 drain_cdc.py)
pgrotor_cluster_test(drain_cancel 120 drain_cancel.py)
pgrotor_cluster_test(drain_altered 90 drain_altered.py)
pgrotor_cluster_test(twophase_move 120 twophase_move.py)
pgrotor_cluster_test(old_snapshots 90 old_snapshots.py)
pgrotor_cluster_test(badinput 120 badinput.py)
foreach(rule no_guard no_exclusive_lock stale_marker no_visibility apply_twice)
  pgrotor_cluster_test(mutation_${rule} 120 mutations.py ${rule})
endforeach()
