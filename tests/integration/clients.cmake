# Real clients against pgrotor with three shards (clients/client.py); packages for them are in deploy/packages.txt.
find_library(PQXX_LIBRARY pqxx REQUIRED)
add_executable(client_libpqxx clients/with_libpqxx.cc)
# Debian's libpqxx 6 was built for C++17, and its headers warn.
set_target_properties(client_libpqxx PROPERTIES CXX_STANDARD 17)
target_compile_options(client_libpqxx PRIVATE -w)
target_link_libraries(client_libpqxx PRIVATE ${PQXX_LIBRARY} PkgConfig::LIBPQ Threads::Threads)
foreach(client psql pg_dump psycopg2 psycopg3 asyncpg sqlalchemy django libpqxx jdbc libpq_go pgx node asyncpg_session jdbc_session django_session)
  add_test(NAME integration_client_${client} COMMAND /usr/bin/python3 -B ${CMAKE_CURRENT_SOURCE_DIR}/clients/client.py ${client})
  set_tests_properties(integration_client_${client} PROPERTIES ENVIRONMENT "${PGROTOR_TEST_ENV}" TIMEOUT 300 RESOURCE_LOCK clusters)
endforeach()
