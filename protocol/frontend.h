// Messages that a frontend sends (manual 55.7), one struct a message, fields named as there. decode_* take the body without the
// five header bytes and return nullopt when it is malformed; views point into that body. append() writes a whole frame, and
// throws std::length_error for what the protocol cannot express (over 65535 elements, a frame over 2^31-1 bytes).
// Callers: the proxy's sessions (decode) and its server connections (append). Any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "protocol/frame.h"

namespace protocol {

inline constexpr std::uint32_t max_startup_size = 10'000;  // PostgreSQL's MAX_STARTUP_PACKET_LENGTH
inline constexpr std::int32_t protocol_3_0 = 3 << 16;
inline constexpr std::int32_t protocol_3_2 = protocol_3_0 | 2;  // PostgreSQL 18's: as 3.0, with cancel keys of up to 256 bytes
inline constexpr std::size_t min_cancel_key = 4, max_cancel_key = 256;

struct startup {
  std::int32_t version = protocol_3_0;
  std::vector<std::pair<std::string, std::string>> parameters;  // in the order sent; user, database, options, GUCs
  std::string_view get(std::string_view name) const noexcept;   // empty when absent
};
struct cancel_request {
  std::int32_t pid = 0;
  std::string key;  // min_cancel_key to max_cancel_key bytes
};
enum class first_packet_kind { startup, cancel, ssl_request, gssenc_request };
struct first_packet {
  first_packet_kind kind = first_packet_kind::startup;
  protocol::startup startup;
  cancel_request cancel;
  std::uint32_t size = 0;  // bytes consumed
};
// Reads the untyped first packet. need_more until it is whole; bad_length outside 8..max_startup_size and where a request has
// another length than its own; unknown_type for a request code or a major version other than 3, and for malformed parameters.
// Any minor version is read: one that the server does not know is answered with a negotiate_protocol_version.
frame_error read_first_packet(std::string_view in, first_packet& out);

struct query { std::string_view sql; };
struct parse {
  std::string_view name, sql;
  std::vector<std::uint32_t> types;  // OIDs, 0 = unspecified
};
struct bind {
  std::string_view portal, statement;
  std::vector<std::int16_t> formats;  // none: all text; one: for all; else one a parameter. 0 text, 1 binary
  std::vector<std::optional<std::string_view>> values;
  std::vector<std::int16_t> result_formats;
  std::int16_t format_of(std::size_t parameter) const noexcept;
};
struct describe { char kind = 'S'; std::string_view name; };  // 'S' statement, 'P' portal
struct close { char kind = 'S'; std::string_view name; };
struct execute { std::string_view portal; std::int32_t max_rows = 0; };
struct copy_fail { std::string_view reason; };
struct password { std::string_view value; };                                       // 'p' when a password was asked for
struct sasl_initial_response { std::string_view mechanism, data; };                // 'p', first
struct sasl_response { std::string_view data; };                                   // 'p', later

std::optional<query> decode_query(std::string_view body);
std::optional<parse> decode_parse(std::string_view body);
std::optional<bind> decode_bind(std::string_view body);
// The same into a message that the caller keeps, so that its vectors are allocated once. False: malformed, `out` is half filled.
bool decode_bind(std::string_view body, bind& out);
// Only the two names at its front; what follows may be malformed.
bool decode_bind_names(std::string_view body, bind& out);
// The names, the formats and the first `count` values of a Bind of which `body` may be only the front; with count 0 the names alone. 0 when
// they are there, or fewer is all it has. Else so many bytes of the body are needed to try again: more than it has when it is malformed.
std::size_t decode_bind_front(std::string_view body, std::size_t count, bind& out);
std::optional<describe> decode_describe(std::string_view body);
std::optional<close> decode_close(std::string_view body);
std::optional<execute> decode_execute(std::string_view body);
std::optional<copy_fail> decode_copy_fail(std::string_view body);
std::optional<password> decode_password(std::string_view body);
std::optional<sasl_initial_response> decode_sasl_initial_response(std::string_view body);
std::optional<sasl_response> decode_sasl_response(std::string_view body);

void append(std::string& out, const startup&);
void append(std::string& out, const cancel_request&);
void append_ssl_request(std::string& out);
void append_gssenc_request(std::string& out);
void append(std::string& out, const query&);
void append(std::string& out, const parse&);
void append(std::string& out, const bind&);
void append(std::string& out, const describe&);
void append(std::string& out, const close&);
void append(std::string& out, const execute&);
void append(std::string& out, const copy_fail&);
void append(std::string& out, const password&);
void append(std::string& out, const sasl_initial_response&);
void append(std::string& out, const sasl_response&);
void append_sync(std::string& out);
void append_flush(std::string& out);
void append_terminate(std::string& out);

}  // namespace protocol
