# Clients, statements, backends and shards that end at random under load; storm.py --events 1000 is the long one.
add_test(NAME integration_storm COMMAND /usr/bin/python3 -B -W ignore::ResourceWarning ${CMAKE_CURRENT_SOURCE_DIR}/storm.py --events 18)
set_tests_properties(integration_storm PROPERTIES ENVIRONMENT "${PGROTOR_TEST_ENV}" TIMEOUT 300 RESOURCE_LOCK clusters)
