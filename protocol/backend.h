// Messages that a backend sends (manual 55.7). Same conventions as protocol/frontend.h: decode_* take the body, append writes a
// whole frame. Callers: the proxy's sessions (append, to clients) and server connections (decode, from shards). Any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace protocol {

enum class auth : std::int32_t { ok = 0, cleartext_password = 3, md5_password = 5, sasl = 10, sasl_continue = 11, sasl_final = 12 };
struct authentication {
  std::int32_t kind = 0;   // one of auth, or a method this program does not speak
  std::string_view data;   // what follows: mechanisms (zero separated), SASL data, or an md5 salt
};
struct backend_key_data {
  std::int32_t pid = 0;
  std::string key;  // 4 bytes in protocol 3.0, up to 256 in 3.2
};
// Answer to a startup of a minor version, or with options named _pq_.*, that the server does not know. As PostgreSQL sends it (and
// libpq reads it) `newest` is the whole version, 3.0 being 3 << 16, though the manual speaks of the minor one.
struct negotiate_protocol_version {
  std::int32_t newest = 0;
  std::vector<std::string_view> unknown_options;
};
struct parameter_status { std::string_view name, value; };
enum class transaction_status : char { idle = 'I', in_transaction = 'T', failed = 'E' };
struct ready_for_query { transaction_status status = transaction_status::idle; };
struct command_complete { std::string_view tag; };

// ErrorResponse and NoticeResponse (manual 55.8). Empty means absent.
struct notice {
  std::string severity = "ERROR", sqlstate, message, detail, hint;
  std::string position, where, schema, table, column, constraint;
  std::string localized;  // the severity in the server's language, when that is another
  std::string others;     // fields not named here as they came: code, text and zero byte of each
};
inline notice make_error(std::string_view code, std::string message, std::string detail = {}, std::string hint = {}) {
  notice made;
  made.sqlstate = code;
  made.message = std::move(message);
  made.detail = std::move(detail);
  made.hint = std::move(hint);
  return made;
}
struct row_column {  // of RowDescription
  std::string_view name;
  std::uint32_t type = 25;
  std::int16_t type_size = -1, format = 0;  // 0 text, 1 binary
};

std::optional<authentication> decode_authentication(std::string_view body);
std::optional<backend_key_data> decode_backend_key_data(std::string_view body);
std::optional<negotiate_protocol_version> decode_negotiate_protocol_version(std::string_view body);
std::optional<parameter_status> decode_parameter_status(std::string_view body);
std::optional<ready_for_query> decode_ready_for_query(std::string_view body);
std::optional<command_complete> decode_command_complete(std::string_view body);
std::optional<notice> decode_notice(std::string_view body);
std::optional<std::vector<std::uint32_t>> decode_parameter_description(std::string_view body);  // type OIDs
bool has_message(std::string_view frames, char type);  // among whole ones
inline bool has_error(std::string_view frames) { return has_message(frames, 'E'); }

void append(std::string& out, const authentication&);
void append(std::string& out, const backend_key_data&);
void append(std::string& out, const negotiate_protocol_version&);
void append(std::string& out, const parameter_status&);
void append(std::string& out, const ready_for_query&);
void append(std::string& out, const command_complete&);
void append_error(std::string& out, const notice&);   // 'E', severity fields S and V both written
void append_notice(std::string& out, const notice&);  // 'N'
void append_row_description(std::string& out, std::span<const row_column> columns);
void append_data_row(std::string& out, std::span<const std::optional<std::string>> values);
void append_parse_complete(std::string& out);
void append_bind_complete(std::string& out);
void append_close_complete(std::string& out);
void append_no_data(std::string& out);
void append_no_parameters(std::string& out);  // ParameterDescription
void append_portal_suspended(std::string& out);
void append_empty_query_response(std::string& out);

}  // namespace protocol
