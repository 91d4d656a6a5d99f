#include "proxy/shard/conversation.h"

#include "protocol/frontend.h"

namespace proxy {

using protocol::frame_error;
using protocol::frame_header;
using protocol::frame_header_size;
using ending = conversation::ending;

std::string_view words_of(ending how) noexcept {
  switch (how) {
    case ending::failed: return "The answer is not that of a PostgreSQL server.";
    case ending::lost: return "The shard closed the connection.";
    case ending::silent: return "The shard did not answer in time.";
    default: return {};
  }
}

std::size_t conversation::take(std::string_view in, bool ended) {
  if (!is_open()) return 0;
  need(0);
  const auto used = hear(in);
  if (ended && used == 0) end(ending::lost);
  return used;
}

std::size_t framed_conversation::hear(std::string_view in) {
  std::size_t used = 0;
  while (is_open()) {
    const auto rest = in.substr(used);
    frame_header header;
    const auto seen = protocol::read_header(rest, protocol::peer::backend, largest_, header);
    if (seen == frame_error::need_more) break;
    if (seen != frame_error::none) {
      end(ending::failed);
    } else if (rest.size() < header.size) {
      need(header.size);
      break;
    } else {
      hear_frame(header.type, rest.substr(0, header.size));
      used += header.size;
    }
  }
  return used;
}

std::size_t exchange_conversation::hear(std::string_view in) {
  const auto step = answers_.feed(in, into_);
  into_.append(step.run);
  need(step.whole);
  what_ = step.what;
  status_ = step.status;
  switch (step.what) {
    case exchange::event::need_more: break;
    case exchange::event::error:
    case exchange::event::ready:
    case exchange::event::captured: end(ending::answered); break;
    case exchange::event::copy_in:
    case exchange::event::put_in_failed:
    case exchange::event::fatal:
    case exchange::event::unexpected: end(ending::failed); break;
  }
  return step.used;
}

std::string exchange_conversation::why() const {
  if (auto words = answers_.last_words()) return std::move(words->message);
  if (what_ == exchange::event::put_in_failed) return "The transaction could not be begun.";
  return what_ == exchange::event::need_more ? std::string(words_of(how())) : "The shard sent a message that does not belong here.";
}

// Where nothing can be sent any more, what was said before the connection broke is still to be heard.
bool step(server_connection& server, conversation& talk, bool look) {
  const auto sent = server.flush();
  io_result got;
  const bool reads = look || sent.closed || server.socket.readable();
  if (reads && server.in.size() < talk.whole() + byte_queue::block_size) got = server.socket.read(server.in, talk.whole());
  const auto used = talk.take(server.in.view(), got.closed || (sent.closed && got.blocked));
  server.in.consume(used);
  return sent.bytes + got.bytes + used > 0;
}

void watch(server_connection& server) {
  if (server.output_pending()) server.socket.watch_write();
  server.socket.watch_read();
}

task<void> converse(std::span<const party> all, wakeup& wake, clock::time_point deadline) {
  bool in_time = true;
  for (bool open = true; open;) {
    bool moved = open = false;
    for (const auto& [server, talk] : all) {
      if (!talk->is_open()) continue;
      moved = step(*server, *talk) || moved;
      if (!in_time) talk->time_is_up();
      open = open || talk->is_open();
    }
    if (!open || moved) continue;
    for (const auto& [server, talk] : all)
      if (talk->is_open()) watch(*server);
    in_time = co_await wake.wait(deadline);
  }
}

task<void> converse(server_connection& server, conversation& talk, wakeup& wake, clock::time_point deadline) {
  const party only{&server, &talk};
  co_await converse(std::span(&only, 1), wake, deadline);
}

namespace {

class lone_query final : public framed_conversation {
 public:
  explicit lone_query(alone_answer* wanted) noexcept : wanted_(wanted) {}

 private:
  void hear_frame(char type, std::string_view frame) override {
    refused_ = refused_ || type == 'E';
    if (wanted_ && type == 'D') wanted_->rows.append(frame);
    if (wanted_ && type == 'E') wanted_->failure.assign(frame);
    if (type != 'Z') return;
    const auto ready = protocol::decode_ready_for_query(frame.substr(frame_header_size));
    end(ready && ready->status == protocol::transaction_status::idle && !refused_ ? ending::answered : ending::failed);
  }

  alone_answer* const wanted_;
  bool refused_ = false;
};

}  // namespace

std::optional<protocol::notice> alone_answer::refusal() const {
  return failure.empty() ? std::nullopt : protocol::decode_notice(std::string_view(failure).substr(frame_header_size));
}

task<ending> run_alone(server_connection& server, std::string_view sql, wakeup& wake, clock::time_point deadline, alone_answer* wanted) {
  protocol::append(server.out, protocol::query{sql});
  lone_query talk(wanted);
  co_await converse(server, talk, wake, deadline);
  co_return talk.how() == ending::answered && !server.in.empty() ? ending::failed : talk.how();
}

}  // namespace proxy
