#include "proxy/transaction/pull_copy.h"

#include <doctest/doctest.h>

#include <optional>
#include <string>
#include <vector>

#include "frame_text.h"
#include "protocol/backend.h"
#include "protocol/frame.h"
#include "protocol/frame_writer.h"
#include "protocol/wire.h"

namespace {

const std::string header("PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0", 19);

std::string integer(auto value) {
  std::string out;
  protocol::append_int(out, value);
  return out;
}

// A record of text fields as record_send writes it.
std::string record(const std::vector<std::optional<std::string>>& fields) {
  std::string out = integer(static_cast<std::int32_t>(fields.size()));
  for (const auto& field : fields) {
    out += integer(std::int32_t{25}) + integer(field ? static_cast<std::int32_t>(field->size()) : -1);
    out += field.value_or("");
  }
  return out;
}

std::string row(std::int16_t copy, const std::string& whole) {
  std::string out;
  const std::vector<std::optional<std::string>> values{integer(copy), whole};
  protocol::append_data_row(out, values);
  return out;
}

// What COPY is sent, and in what sizes.
struct sent {
  std::vector<std::string> queries, data;
};
sent read(std::string_view out) {
  sent all;
  while (!out.empty()) {
    const auto size = protocol::load_int<std::uint32_t>(out.data() + 1) + std::size_t{1};
    if (out.front() == 'Q') all.queries.emplace_back(out.substr(5, size - 6));
    if (out.front() == 'd') all.data.emplace_back(out.substr(5, size - 5));
    out.remove_prefix(size);
  }
  return all;
}

routing::pull_plan two_copies() {
  routing::pull_plan plan;
  plan.copies = {{"a", false, "pg_temp.one", std::nullopt}, {"b", true, "pg_temp.two", std::nullopt}};
  return plan;
}

}  // namespace

TEST_CASE("pull_copy: records become rows of COPY, whatever the pieces in which they come") {
  const auto plan = two_copies();
  const auto said = row(1, record({"x", std::nullopt})) + row(0, record({})) + row(1, record({"", "yz"}));
  for (const std::size_t piece : {1, 2, 7, 1000}) {
    proxy::pull_copy rows(plan, 1 << 20);
    std::string out;
    for (std::size_t at = 0; at < said.size(); at += piece) rows.take(std::string_view(said).substr(at, piece), out);
    CHECK(out.empty());
    rows.finish(out);
    const auto all = read(out);
    CHECK(all.queries == std::vector<std::string>{"COPY pg_temp.one FROM STDIN (FORMAT binary)", "COPY pg_temp.two FROM STDIN (FORMAT binary)"});
    CHECK(rows.queries() == 2);
    REQUIRE(all.data.size() == 2);
    CHECK(all.data[0] == header + integer(std::int16_t{0}) + integer(std::int16_t{-1}));
    CHECK(all.data[1] == header + integer(std::int16_t{2}) + integer(std::int32_t{1}) + "x" + integer(std::int32_t{-1}) + integer(std::int16_t{2}) + integer(std::int32_t{0}) +
                             integer(std::int32_t{2}) + "yz" + integer(std::int16_t{-1}));
    CHECK(rows.failure().empty());
  }
}

TEST_CASE("pull_copy: many rows go out in chunks, and are analyzed; too many are an error that names the limit") {
  const auto plan = two_copies();
  proxy::pull_copy rows(plan, 2 << 20);
  std::string out;
  const auto one = row(0, record({std::string(1000, 'x')}));
  for (int i = 0; i < 1000; ++i) rows.take(one, out);
  CHECK(read(out).data.size() == 3);
  rows.finish(out);
  CHECK(read(out).queries.back() == "ANALYZE pg_temp.one");
  proxy::pull_copy few(plan, 5000);
  for (int i = 0; i < 6; ++i) few.take(one, out);
  CHECK(few.failure().find("54000") != std::string::npos);
  CHECK(few.failure().find("scatter.pull_limit (5000 bytes)") != std::string::npos);
}

TEST_CASE("pull_copy: the error of a shard is kept as it came, and what is no row is told") {
  const auto plan = two_copies();
  std::string out, error;
  protocol::append_error(error, protocol::make_error("22012", "division by zero"));
  proxy::pull_copy rows(plan, 1 << 20);
  rows.take(error + row(0, record({"x"})), out);
  CHECK(rows.failure() == error);
  for (const auto& nonsense : {row(2, record({"x"})), row(-1, record({"x"})), row(0, ""), std::string("D\0\0\0\6\0\1", 7), row(0, integer(std::int32_t{70000}))}) {
    proxy::pull_copy deaf(plan, 1 << 20);
    deaf.take(nonsense, out);
    CHECK(deaf.failure().find("08P01") != std::string::npos);
  }
  CHECK(out.empty());
}
