#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "golden.h"
#include "protocol/backend.h"
#include "protocol/frame.h"
#include "protocol/sqlstate.h"

using namespace protocol;
using namespace std::string_literals;
using namespace std::string_view_literals;
using protocol_test::hex;

namespace {

// Every field of the manual, those without a member of their own (internal position and query, file, line, routine, data type) included.
const std::vector<std::string> all_fields = {
    "SFEHLER\0"s, "VERROR\0"s, "C23505\0"s, "Mmessage\0"s, "Ddetail\0"s, "Hhint\0"s,    "P7\0"s, "p9\0"s,     "qinternal\0"s,
    "Wwhere\0"s,  "sschema\0"s, "ttable\0"s, "ccolumn\0"s,  "dint4\0"s,   "nt_pkey\0"s, "Ff.c\0"s, "L12\0"s, "Rroutine\0"s};

void check_all_fields(const notice& decoded) {
  CHECK(decoded.severity == "ERROR");
  CHECK(decoded.sqlstate == "23505");
  CHECK(decoded.message == "message");
  CHECK(decoded.detail == "detail");
  CHECK(decoded.hint == "hint");
  CHECK(decoded.position == "7");
  CHECK(decoded.where == "where");
  CHECK(decoded.schema == "schema");
  CHECK(decoded.table == "table");
  CHECK(decoded.column == "column");
  CHECK(decoded.constraint == "t_pkey");
}

std::string joined(const std::vector<std::string>& fields) {
  std::string body;
  for (const auto& field : fields) body += field;
  return body + '\0';
}

}  // namespace

TEST_CASE("notice: fields are read in any order") {
  auto fields = all_fields;
  for (std::size_t turn = 0; turn < fields.size(); ++turn) {
    CAPTURE(turn);
    const auto decoded = decode_notice(joined(fields));
    REQUIRE(decoded);
    check_all_fields(*decoded);
    std::rotate(fields.begin(), fields.begin() + 1, fields.end());
  }
  std::reverse(fields.begin(), fields.end());
  const auto decoded = decode_notice(joined(fields));
  REQUIRE(decoded);
  check_all_fields(*decoded);
}

TEST_CASE("notice: an error is written with both severities, and absent fields are left out") {
  notice error;
  error.sqlstate = sqlstate::not_one_shard;
  error.message = "no key";
  error.hint = "add one";
  std::string out;
  append_error(out, error);
  const auto golden = hex("45 0000002b") + "SERROR\0"s + "VERROR\0"s + "CRT003\0"s + "Mno key\0"s + "Hadd one\0"s + hex("00");
  CHECK(out == golden);
  const auto decoded = decode_notice(std::string_view(out).substr(frame_header_size));
  REQUIRE(decoded);
  CHECK(decoded->sqlstate == "RT003");
  CHECK(decoded->hint == "add one");
  CHECK(decoded->detail.empty());
}

TEST_CASE("notice: everything that is set comes back") {
  const auto first = decode_notice(joined(all_fields));
  REQUIRE(first);
  std::string out;
  append_notice(out, *first);
  CHECK(out.front() == 'N');
  const auto second = decode_notice(std::string_view(out).substr(frame_header_size));
  REQUIRE(second);
  check_all_fields(*second);
  for (const auto& field : all_fields) CHECK(out.find(field) != std::string::npos);
}

TEST_CASE("notice: a zero byte in a text cannot forge a field") {
  notice error;
  error.message = "quoted: x\0C00000\0"s;
  error.sqlstate = sqlstate::protocol_violation;
  std::string out;
  append_error(out, error);
  const auto decoded = decode_notice(std::string_view(out).substr(frame_header_size));
  REQUIRE(decoded);
  CHECK(decoded->message == "quoted: x");
  CHECK(decoded->sqlstate == "08P01");
}

TEST_CASE("notice: malformed lists are refused") {
  CHECK(decode_notice("\0"sv));
  CHECK_FALSE(decode_notice(""));
  CHECK_FALSE(decode_notice("M"));
  CHECK_FALSE(decode_notice("Mtext"));
  CHECK_FALSE(decode_notice("Mtext\0"sv));
  CHECK_FALSE(decode_notice("Mtext\0\0x"sv));
}

TEST_CASE("notice: a server that sends no V, or no severity at all") {
  CHECK(decode_notice("SWARNING\0\0"sv)->severity == "WARNING");
  CHECK(decode_notice("\0"sv)->severity == "ERROR");
}
