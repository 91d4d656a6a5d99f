// Decoding of the pgoutput logical replication stream (manual 55.9): XLogData and keepalive envelopes, and the messages of
// protocol versions 1 and 2 in PostgreSQL 15. Views point into the message given. Caller: migration's change stream.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace protocol {

// A WAL position. 0 is "none".
struct lsn {
  std::uint64_t value = 0;
  auto operator<=>(const lsn&) const = default;
};
std::string to_string(lsn);                          // PostgreSQL's X/X
std::optional<lsn> parse_lsn(std::string_view text);

namespace pgoutput {

enum class value_kind : char { null = 'n', unchanged_toast = 'u', text = 't', binary = 'b' };
struct value {
  value_kind kind = value_kind::null;
  std::string_view data;
};
using tuple = std::vector<value>;

struct begin { lsn final_lsn; std::int64_t commit_time = 0; std::uint32_t xid = 0; };  // time: microseconds since 2000-01-01
struct commit { std::uint8_t flags = 0; lsn commit_lsn, end_lsn; std::int64_t commit_time = 0; };
struct origin { lsn origin_lsn; std::string_view name; };
struct relation_column { bool part_of_key = false; std::string_view name; std::uint32_t type = 0; std::int32_t type_modifier = -1; };
struct relation {
  std::uint32_t xid = 0;  // streamed transactions only
  std::uint32_t id = 0;
  std::string_view schema, name;
  char replica_identity = 'd';
  std::vector<relation_column> columns;
};
struct type { std::uint32_t xid = 0, id = 0; std::string_view schema, name; };
struct insert { std::uint32_t xid = 0, relation = 0; tuple new_row; };
struct update {
  std::uint32_t xid = 0, relation = 0;
  char old_kind = 0;  // 'K' key columns only, 'O' the whole old row, 0 none sent
  tuple old_row, new_row;
};
struct delete_ { std::uint32_t xid = 0, relation = 0; char old_kind = 'K'; tuple old_row; };
struct truncate { std::uint32_t xid = 0; std::uint8_t options = 0; std::vector<std::uint32_t> relations; };  // 1 cascade, 2 restart identity
struct message { std::uint32_t xid = 0; bool transactional = false; protocol::lsn position; std::string_view prefix, content; };
struct stream_start { std::uint32_t xid = 0; bool first_segment = false; };
struct stream_stop {};
struct stream_commit { std::uint32_t xid = 0; std::uint8_t flags = 0; lsn commit_lsn, end_lsn; std::int64_t commit_time = 0; };
struct stream_abort { std::uint32_t xid = 0, subtransaction = 0; };

using change = std::variant<begin, commit, origin, relation, type, insert, update, delete_, truncate, message, stream_start, stream_stop,
                            stream_commit, stream_abort>;

// `in_stream`: between Stream Start and Stream Stop, where row messages carry an xid. nullopt: malformed or unknown.
std::optional<change> decode(std::string_view payload, bool in_stream = false);

}  // namespace pgoutput

// The CopyData envelopes of streaming replication.
struct xlog_data { lsn start, server_end; std::int64_t server_time = 0; std::string_view payload; };
struct keepalive { lsn server_end; std::int64_t server_time = 0; bool reply_requested = false; };
using replication_message = std::variant<xlog_data, keepalive>;
std::optional<replication_message> decode_replication(std::string_view copy_data);

// Standby status update ('r'); time is microseconds since 2000-01-01.
std::string standby_status(lsn written, lsn flushed, lsn applied, std::int64_t now, bool reply_requested);

}  // namespace protocol
