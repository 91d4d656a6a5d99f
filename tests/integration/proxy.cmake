# Sessions, pools and gates against real shards, without a coordinator: proxy/harness.cc stands in for it.
add_executable(proxy_harness proxy/harness.cc proxy/allocations.cc)
target_link_libraries(proxy_harness PRIVATE pgrotor_proxy)
foreach(part login sessions twophase gates faults health limits large client_tls shard_tls startup allocations settings state processes)
  add_test(NAME integration_proxy_${part} COMMAND /usr/bin/python3 -B -W ignore::ResourceWarning ${CMAKE_CURRENT_SOURCE_DIR}/proxy/${part}_test.py)
  set_tests_properties(integration_proxy_${part} PROPERTIES ENVIRONMENT "${PGROTOR_TEST_ENV}" TIMEOUT 180 RESOURCE_LOCK clusters)
endforeach()
