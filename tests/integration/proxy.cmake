# Sessions, pools and gates against real shards, without a coordinator: proxy/harness.cc stands in for it.
add_executable(proxy_harness proxy/harness.cc)
target_link_libraries(proxy_harness PRIVATE pgrotor_proxy)
