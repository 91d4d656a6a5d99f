# The life of `pgrotor`: init, check, serve and its signals, console and HTTP, on real clusters.
add_test(NAME integration_serve COMMAND /usr/bin/python3 -B ${CMAKE_CURRENT_SOURCE_DIR}/serve.py)
set_tests_properties(integration_serve PROPERTIES ENVIRONMENT "${PGROTOR_TEST_ENV}" TIMEOUT 300 RESOURCE_LOCK clusters)
# Pools: permits between workers, health of shards, time-outs, verbs of the console.
add_test(NAME integration_pools COMMAND /usr/bin/python3 -B ${CMAKE_CURRENT_SOURCE_DIR}/pools.py)
set_tests_properties(integration_pools PROPERTIES ENVIRONMENT "${PGROTOR_TEST_ENV}" TIMEOUT 300 RESOURCE_LOCK clusters)
