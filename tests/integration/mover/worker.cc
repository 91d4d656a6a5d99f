// A mover as a process of its own, for tests and the backfill bench: killed at any moment, started again, driven by lines on standard
// input, answering with one JSON line each. No coordinator, no gates, no states.
//
//   mover_worker --migration 7 --source DSN --target DSN --table public.items:customer_id [--table ...] [--lower N] [--upper N]
//                [--readers 2] [--chunk-time 150] [--max-rate BYTES] [--hold-cap BYTES] [--log debug]
//
//   progress | pause | resume | expect SET EPOCH ATTEMPT | forget | wait MILLISECONDS | throttle FACTOR | stop
//   test VERB NAME (builds with test hooks)
//
// An error of the mover ends it with {"failed": "..."} and status 3.
#include <cstdio>
#include <iostream>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/streambuf.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <fmt/format.h>
#include <unistd.h>

#include "migration/base/log.h"
#include "migration/base/test_hooks.h"
#include "migration/mover/mover.h"
#include "migration/shard/prepare.h"

namespace asio = boost::asio;
using migration::task;

namespace {

using arguments = std::multimap<std::string, std::string>;

arguments read_arguments(int argc, char** argv) {
  arguments out;
  for (int i = 1; i + 1 < argc; i += 2) out.emplace(argv[i], argv[i + 1]);
  return out;
}

std::string one(const arguments& all, const std::string& name, const std::string& otherwise) {
  const auto found = all.find(name);
  return found == all.end() ? otherwise : found->second;
}

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  return out + '"';
}

void answer(const std::string& json) {
  std::fputs((json + "\n").c_str(), stdout);
  std::fflush(stdout);
}

migration::pg::connect_options shard(const arguments& all, const std::string& name) {
  migration::pg::connect_options out;
  out.dsn = one(all, "--" + name, "");
  out.where = name;
  return out;
}

task<migration::mover_settings> read_settings(asio::any_io_executor executor, const arguments& all) {
  migration::mover_settings out;
  out.migration = std::stoull(one(all, "--migration", "1"));
  out.names = migration::object_names(out.migration);
  out.source = shard(all, "source");
  out.target = shard(all, "target");
  routing::hash_bounds bounds;
  if (all.contains("--lower")) bounds.lower = std::stoll(one(all, "--lower", ""));
  if (all.contains("--upper")) bounds.upper = std::stoll(one(all, "--upper", ""));
  out.ranges.push_back(routing::range_of_hashes(bounds));
  out.readers = std::stoi(one(all, "--readers", "2"));
  out.chunk_time = migration::milliseconds(std::stoi(one(all, "--chunk-time", "150")));
  out.max_rate = std::stoull(one(all, "--max-rate", "0"));
  out.hold_cap_bytes = std::stoull(one(all, "--hold-cap", "67108864"));
  const auto source = co_await migration::pg::connection::open(executor, out.source);
  const auto [begin, end] = all.equal_range("--table");
  for (auto item = begin; item != end; ++item) {
    const auto& text = item->second;
    const auto dot = text.find('.'), colon = text.find(':');
    out.tables.push_back(co_await migration::describe_table(*source, text.substr(0, dot), text.substr(dot + 1, colon - dot - 1),
                                                            text.substr(colon + 1)));
  }
  out.key_type = routing::key_type_of_oid(out.tables.at(0).columns.at(out.tables.at(0).shard_key).type_oid).value();
  co_return out;
}

std::string progress_json(const migration::mover_progress& p) {
  return fmt::format(
      "{{\"rows_estimated\": {}, \"rows_copied\": {}, \"bytes_copied\": {}, \"chunks_loaded\": {}, \"changes_applied\": {}, "
      "\"changes_held\": {}, \"held_bytes\": {}, \"changes_skipped\": {}, \"source_insert\": {}, \"applied\": {}, \"apply_lag_ms\": {}, "
      "\"throttle\": {}, \"copied\": {}}}",
      p.rows_estimated, p.rows_copied, p.bytes_copied, p.chunks_loaded, p.changes_applied, p.changes_held, p.held_bytes, p.changes_skipped,
      p.source_insert.value, p.applied.value, p.apply_lag.count(), quoted(p.throttle), p.copied);
}

task<void> wait_marker(migration::mover& mover, std::string_view milliseconds) {
  const auto until = migration::clock::now() + migration::milliseconds(std::stoi(std::string(milliseconds)));
  const auto end = co_await mover.wait_marker(until);
  answer(fmt::format("{{\"marker\": {}}}", end ? quoted(protocol::to_string(*end)) : "null"));
}

task<bool> obey(migration::mover& mover, const std::vector<std::string>& words, std::uint64_t migration_number) {
  if (words.at(0) == "wait") {
    co_await wait_marker(mover, words.at(1));
    co_return true;
  }
  if (words[0] == "expect") {
    mover.expect_marker({migration_number, std::stoull(words.at(1)), std::stoull(words.at(2)),
                         static_cast<std::uint32_t>(std::stoul(words.at(3)))});
  }
  if (words[0] == "forget") mover.forget_marker();
  if (words[0] == "pause") mover.pause_copy();
  if (words[0] == "resume") mover.resume_copy();
  if (words[0] == "throttle") mover.set_throttle(std::stod(words.at(1)), "asked for");
#ifdef PGROTOR_TEST_HOOKS
  if (words[0] == "test") co_await migration::test_hooks::command(words.at(1), words.at(2));
#endif
  if (words[0] == "stop") co_return false;
  answer(progress_json(mover.progress()));
  co_return true;
}

task<void> serve(migration::mover& mover, std::uint64_t migration_number) {
  asio::posix::stream_descriptor input(co_await asio::this_coro::executor, ::dup(0));
  std::string buffered;
  for (bool going = true; going;) {
    const auto size = co_await asio::async_read_until(input, asio::dynamic_buffer(buffered), '\n', asio::use_awaitable);
    std::vector<std::string> words(1);
    for (const char c : buffered.substr(0, size - 1)) {
      if (c == ' ') words.emplace_back();
      else words.back() += c;
    }
    buffered.erase(0, size);
    going = co_await obey(mover, words, migration_number);
  }
  mover.stop();
}

task<void> run(const arguments& all) {
  const auto executor = co_await asio::this_coro::executor;
  auto settings = co_await read_settings(executor, all);
  const auto number = settings.migration;
  migration::mover mover(executor, std::move(settings));
  asio::co_spawn(executor, serve(mover, number), [&mover](std::exception_ptr) { mover.stop(); });
  answer("{\"running\": true}");
  co_await mover.run();
}

}  // namespace

int main(int argc, char** argv) {
  migration::test_hooks::load_environment();
  const auto all = read_arguments(argc, argv);
  if (one(all, "--log", "") == "debug") migration::set_log_level(migration::log_level::debug);
  asio::io_context io(1);
  int status = 0;
  asio::co_spawn(io, run(all), [&](std::exception_ptr error) {
    io.stop();
    try {
      if (error) std::rethrow_exception(error);
    } catch (const std::exception& caught) {
      answer(fmt::format("{{\"failed\": {}}}", quoted(caught.what())));
      status = 3;
    }
  });
  io.run();
  return status;
}
