# pgrotor and PostgreSQL compared message by message; a seeded sample again with the stream cut into single bytes.
add_test(NAME integration_transparency COMMAND /usr/bin/python3 -B ${CMAKE_CURRENT_SOURCE_DIR}/transparency/transparency.py)
add_test(NAME integration_conversations COMMAND /usr/bin/python3 -B ${CMAKE_CURRENT_SOURCE_DIR}/transparency/conversations.py)
set_tests_properties(integration_transparency integration_conversations PROPERTIES ENVIRONMENT "${PGROTOR_TEST_ENV}" TIMEOUT 300 RESOURCE_LOCK clusters)
