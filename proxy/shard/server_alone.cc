// One simple query of the proxy's own on a connection that no session has: checks and resets. Declared in proxy/shard/server_connection.h.
#include "protocol/frame.h"
#include "protocol/frontend.h"
#include "proxy/shard/server_connection.h"

namespace proxy {

namespace {

struct verdict {
  bool over = false, error = false, idle = false;
};

// Uses up the whole messages that are there.
void take_answer(byte_queue& in, verdict& so_far, alone_answer* wanted) {
  protocol::frame_header header;
  while (!so_far.over && protocol::read_header(in.view(), protocol::peer::backend, protocol::max_frame_size, header) == protocol::frame_error::none) {
    if (in.size() < header.size) return;
    so_far.error = so_far.error || header.type == 'E';
    if (wanted && header.type == 'D') wanted->rows.append(in.view().substr(0, header.size));
    if (wanted && header.type == 'E') wanted->failure.assign(in.view().substr(0, header.size));
    so_far.over = header.type == 'Z';
    so_far.idle = header.type == 'Z' && in.view()[protocol::frame_header_size] == 'I';
    in.consume(header.size);
  }
}

}  // namespace

task<alone_result> run_alone(server_connection& server, std::string_view sql, wakeup& wake, clock::time_point deadline,
                             alone_answer* wanted) {
  protocol::append(server.out, protocol::query{sql});
  verdict seen;
  while (!seen.over) {
    if (server.flush().closed) co_return alone_result::failed;
    if (server.output_pending()) server.socket.watch_write();
    if (!server.socket.readable()) {
      server.socket.watch_read();
      const bool in_time = co_await wake.wait(deadline);
      if (!in_time) co_return alone_result::silent;
      continue;
    }
    if (server.socket.read(server.in).closed) co_return alone_result::failed;
    take_answer(server.in, seen, wanted);
  }
  co_return seen.idle && !seen.error && server.in.empty() ? alone_result::answered : alone_result::failed;
}

}  // namespace proxy
