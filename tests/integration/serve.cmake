# The life of `pgrotor`: init, check, serve and its signals, console and HTTP, on real clusters.
add_test(NAME integration_serve COMMAND /usr/bin/python3 -B ${CMAKE_CURRENT_SOURCE_DIR}/serve.py)
set_tests_properties(integration_serve PROPERTIES ENVIRONMENT "${PGROTOR_TEST_ENV}" TIMEOUT 300 RESOURCE_LOCK clusters)
# Versions of catalog and shards.
add_test(NAME integration_version COMMAND /usr/bin/python3 -B ${CMAKE_CURRENT_SOURCE_DIR}/version.py)
set_tests_properties(integration_version PROPERTIES ENVIRONMENT "${PGROTOR_TEST_ENV}" TIMEOUT 300 RESOURCE_LOCK clusters)
# The term, and identities of shards.
add_test(NAME integration_term COMMAND /usr/bin/python3 -B ${CMAKE_CURRENT_SOURCE_DIR}/term.py)
set_tests_properties(integration_term PROPERTIES ENVIRONMENT "${PGROTOR_TEST_ENV}" TIMEOUT 300 RESOURCE_LOCK clusters)
add_test(NAME integration_outages COMMAND /usr/bin/python3 -B ${CMAKE_CURRENT_SOURCE_DIR}/outages.py --sample 4 --stop 3)
set_tests_properties(integration_outages PROPERTIES ENVIRONMENT "${PGROTOR_TEST_ENV}" TIMEOUT 300 RESOURCE_LOCK clusters)
# Pools: permits between workers, health of shards, time-outs, verbs of the console; settings of shards; what has no key; transactions on several shards.
foreach(part pools timeouts verbs unequal_shards whole_database branches pulls)
  add_test(NAME integration_${part} COMMAND /usr/bin/python3 -B ${CMAKE_CURRENT_SOURCE_DIR}/${part}.py)
  set_tests_properties(integration_${part} PROPERTIES ENVIRONMENT "${PGROTOR_TEST_ENV}" TIMEOUT 300 RESOURCE_LOCK clusters)
endforeach()
add_test(NAME integration_mutation_no_barrier COMMAND /usr/bin/python3 -B ${CMAKE_CURRENT_SOURCE_DIR}/branches.py --broken)
set_tests_properties(integration_mutation_no_barrier PROPERTIES ENVIRONMENT "${PGROTOR_TEST_ENV}" TIMEOUT 300 RESOURCE_LOCK clusters)
# What transactions over several shards leave prepared.
add_test(NAME integration_two_phase_recoverer COMMAND /usr/bin/python3 -B ${CMAKE_CURRENT_SOURCE_DIR}/two_phase_recoverer.py)
set_tests_properties(integration_two_phase_recoverer PROPERTIES ENVIRONMENT "${PGROTOR_TEST_ENV}" TIMEOUT 300 RESOURCE_LOCK clusters)
# Transfers between shards while clients, pgrotor and shards are killed at the steps of their commits, and while ranges move.
add_test(NAME integration_transfers COMMAND /usr/bin/python3 -B ${CMAKE_CURRENT_SOURCE_DIR}/transfers.py --sample 8 --storm 4 --moves 1)
set_tests_properties(integration_transfers PROPERTIES ENVIRONMENT "${PGROTOR_TEST_ENV}" TIMEOUT 300 RESOURCE_LOCK clusters)
add_test(NAME integration_two_phase_duties COMMAND /usr/bin/python3 -B ${CMAKE_CURRENT_SOURCE_DIR}/two_phase_duties.py)
set_tests_properties(integration_two_phase_duties PROPERTIES ENVIRONMENT "${PGROTOR_TEST_ENV}" TIMEOUT 300 RESOURCE_LOCK clusters)
