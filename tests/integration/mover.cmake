# The mover alone: a worker process that tests kill, drive and measure. Cluster tests share two processors, hence one lock.
add_executable(mover_worker mover/worker.cc)
target_link_libraries(mover_worker PRIVATE pgrotor_migration)

function(pgrotor_mover_test name seconds)
  add_test(NAME integration_${name} COMMAND /usr/bin/python3 -B ${CMAKE_CURRENT_SOURCE_DIR}/mover/${ARGN})
  set_tests_properties(integration_${name} PROPERTIES ENVIRONMENT "${PGROTOR_TEST_ENV}" TIMEOUT ${seconds} RESOURCE_LOCK clusters)
endfunction()

pgrotor_mover_test(mover_kill 300 kill.py 1 6)
pgrotor_mover_test(mover_kill_again 300 kill.py 2 10)
pgrotor_mover_test(mover_scenarios 300 scenarios.py)
foreach(rule no_visibility apply_twice stale_marker)
  pgrotor_mover_test(mover_${rule} 120 interleavings.py 1 ${rule})
endforeach()
