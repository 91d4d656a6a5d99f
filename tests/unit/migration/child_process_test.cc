#include "migration/base/child_process.h"

#include <optional>
#include <system_error>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <doctest/doctest.h>

using namespace migration;

namespace {

child_result run_sh(std::string script, milliseconds budget = milliseconds(20'000)) {
  boost::asio::io_context context(1);
  std::optional<child_result> out;
  std::exception_ptr failed;
  std::vector<std::string> arguments{"/bin/sh", "-c", std::move(script)}, environment{"PGPASSWORD=top secret", "HOME=/nowhere"};
  boost::asio::co_spawn(context, run_child(arguments, environment, budget), [&](std::exception_ptr error, child_result result) {
    failed = error;
    out = std::move(result);
  });
  context.run();
  if (failed) std::rethrow_exception(failed);
  return *out;
}

}  // namespace

TEST_CASE("child_process: output, errors, exit code and environment") {
  const auto done = run_sh("echo out; echo err >&2; printf '%s|%s|%s' \"$PGPASSWORD\" \"$HOME\" \"${PATH:+path}\"; exit 3");
  CHECK(done.exit_code == 3);
  CHECK(done.output == "out\ntop secret|/nowhere|path");
  CHECK(done.errors == "err\n");
}

TEST_CASE("child_process: more output than a pipe holds, on both") {
  const auto done = run_sh("i=0; while [ $i -lt 3000 ]; do echo 0123456789012345678901234567890123456789; echo 0123456789012345678901234567890123456789 >&2; i=$((i+1)); done");
  CHECK(done.output.size() == 3000 * 41);
  CHECK(done.errors.size() == 3000 * 41);
}

TEST_CASE("child_process: a child past its budget is killed") {
  const auto began = migration::clock::now();
  const auto done = run_sh("exec sleep 60", milliseconds(100));
  CHECK(done.exit_code == 128 + 9);
  CHECK(migration::clock::now() - began < std::chrono::seconds(20));
}

TEST_CASE("child_process: a program that is not there") {
  boost::asio::io_context context(1);
  std::exception_ptr failed;
  std::vector<std::string> arguments{"/nowhere/program"}, environment;
  boost::asio::co_spawn(context, run_child(arguments, environment, milliseconds(1000)), [&](std::exception_ptr error, child_result) { failed = error; });
  context.run();
  REQUIRE(failed);
  CHECK_THROWS_AS(std::rethrow_exception(failed), std::system_error);
}
