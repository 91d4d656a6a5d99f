# Random queries beside one PostgreSQL: a sample of tests/oracle.
add_test(NAME integration_oracle COMMAND /usr/bin/python3 -B ${CMAKE_CURRENT_SOURCE_DIR}/oracle/oracle.py --statements 1000 --seconds 15)
set_tests_properties(integration_oracle PROPERTIES ENVIRONMENT "${PGROTOR_TEST_ENV}" TIMEOUT 180 RESOURCE_LOCK clusters)
