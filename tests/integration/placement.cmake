# C++ placement values against a real server's.
add_executable(placement_tool placement_tool.cc)
target_link_libraries(placement_tool PRIVATE pgrotor_routing)
add_test(NAME integration_placement COMMAND /usr/bin/python3 -B ${CMAKE_CURRENT_SOURCE_DIR}/placement_test.py)
set_tests_properties(integration_placement PROPERTIES ENVIRONMENT "${PGROTOR_TEST_ENV}" TIMEOUT 300 RESOURCE_LOCK clusters)

# What the analysis proves, tried on real rows.
add_executable(proofs_tool proofs_tool.cc)
target_link_libraries(proofs_tool PRIVATE pgrotor_routing)
add_test(NAME integration_proofs COMMAND /usr/bin/python3 -B ${CMAKE_CURRENT_SOURCE_DIR}/proofs_test.py)
set_tests_properties(integration_proofs PROPERTIES ENVIRONMENT "${PGROTOR_TEST_ENV}" TIMEOUT 300 RESOURCE_LOCK clusters)
