// How a channel meets the readiness of a stream: what it waits for becomes what the stream is not ready for. `readable` stays true while the
// channel may hold bytes that the socket no longer shows. Declared in proxy/net/stream.h.
#include "proxy/net/stream.h"

namespace proxy {

void stream::go_through(std::unique_ptr<channel> bytes) {
  channel_ = std::move(bytes);
  state_->carrier = channel_.get();
  state_->readable = true;  // or not: the first attempt tells
}

void stream::state::watch_without_socket(side which) {
  if (carrier) carrier->watch(*this, which == side::read);
}

std::optional<std::string> stream::tls_version() const { return tls() ? std::optional<std::string>(tls()->version()) : std::nullopt; }

tls_channel::step stream::handshake() {
  auto wants = channel::wants::nothing;
  const auto step = dynamic_cast<tls_channel&>(*channel_).handshake(wants);
  note_wants(wants, true);
  return step;
}

void stream::note_wants(channel::wants wants, bool reading) noexcept {
  if (wants == channel::wants::nothing) return;
  const bool to_write = wants == channel::wants::to_write;
  // Either way is told by what the socket itself just said no to.
  (to_write ? state_->writable : state_->readable) = false;
  (reading ? state_->readable : state_->writable) = false;
  state_->read_awaits_write = reading && to_write;
  state_->write_awaits_read = !reading && !to_write;
}

io_result stream::read_channel(byte_queue& into, std::size_t whole) {
  const auto got = channel_->read(into.room(whole), state_->has_ended());
  into.filled(got.bytes);
  note_wants(got.wants, true);
  // The end is told when all that came before it has been taken.
  return {got.bytes, got.wants != channel::wants::nothing, got.closed && got.bytes == 0};
}

io_result stream::write_channel(std::span<const iovec> pieces) {
  const auto sent = channel_->write(pieces);
  note_wants(sent.wants, false);
  return {sent.bytes, sent.wants != channel::wants::nothing, sent.closed};
}

}  // namespace proxy
