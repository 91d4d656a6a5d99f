#include "proxy/shard/server_connection.h"

#include "protocol/frontend.h"

namespace proxy {

namespace {
constexpr std::size_t kept_output = 64u << 10;
}

io_result server_connection::flush() {
  if (!output_pending()) return {};
  const auto result = socket.write(std::string_view(out).substr(out_at));
  out_at += result.bytes;
  if (output_pending()) return result;
  out.clear();
  out_at = 0;
  if (out.capacity() > kept_output) out.shrink_to_fit();
  return result;
}

void server_connection::send(std::string_view bytes) {
  if (!output_pending() && !bytes.empty()) bytes.remove_prefix(socket.write(bytes).bytes);
  out.append(bytes);
}

namespace {

void query_of_our_own(server_connection& server, std::string_view text, fate how) {
  protocol::append(server.out, protocol::query{text});
  server.answers.expect(request::query, how);
  server.statements.unnamed = 0;
}

}  // namespace

void server_connection::ask(std::string_view text) { query_of_our_own(*this, text, fate::capture); }

void server_connection::put_in(std::string_view text) { query_of_our_own(*this, text, fate::swallow); }

void server_connection::forget_client() {
  statements.clear();
  statements.unnamed = 0;
  sql.clear();
  applied.reset();
  answers.clear();
  reported = name_values::make(parameters);
  pinned = 0;
  sequences_of = 0;
  reprepare = false;
}

}  // namespace proxy
