# Guard, catalog, prepare, checks, verify and cleaner on two clusters of their own (control.py starts them).
add_executable(control_test
  control/catalog_test.cc
  control/checks_test.cc
  control/guard_test.cc
  control/main.cc
  control/prepare_test.cc
  control/support.cc
  control/verify_test.cc)
target_link_libraries(control_test PRIVATE pgrotor_migration doctest::doctest)
add_test(NAME integration_control COMMAND /usr/bin/python3 -B ${CMAKE_CURRENT_SOURCE_DIR}/control.py)
set_tests_properties(integration_control PROPERTIES ENVIRONMENT "${PGROTOR_TEST_ENV}" TIMEOUT 300 RESOURCE_LOCK clusters)
