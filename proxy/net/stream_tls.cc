// How TLS meets the readiness of a socket: what OpenSSL waits for becomes what the stream is not ready for. `readable` stays true while
// OpenSSL may hold bytes that the socket no longer shows. Declared in proxy/net/stream.h.
#include "proxy/net/stream.h"

namespace proxy {

void stream::start_tls(std::unique_ptr<tls_channel> channel) {
  tls_ = std::move(channel);
  state_->readable = true;  // or not: the first attempt tells
}

std::optional<std::string> stream::tls_version() const { return tls_ ? std::optional<std::string>(tls_->version()) : std::nullopt; }

tls_channel::step stream::handshake() {
  auto wants = tls_wants::nothing;
  const auto step = tls_->handshake(wants);
  note_wants(wants, true);
  return step;
}

void stream::note_wants(tls_wants wants, bool reading) noexcept {
  if (wants == tls_wants::nothing) return;
  const bool to_write = wants == tls_wants::to_write;
  // Either way is told by what the socket itself just said no to.
  (to_write ? state_->writable : state_->readable) = false;
  (reading ? state_->readable : state_->writable) = false;
  state_->read_awaits_write = reading && to_write;
  state_->write_awaits_read = !reading && !to_write;
}

io_result stream::read_tls(byte_queue& into, std::size_t whole) {
  const auto got = tls_->read(into.room(whole), state_->has_ended());
  into.filled(got.bytes);
  note_wants(got.wants, true);
  // The end is told when all that came before it has been taken.
  return {got.bytes, got.wants != tls_wants::nothing, got.closed && got.bytes == 0};
}

io_result stream::write_tls(std::span<const iovec> pieces) {
  const auto sent = tls_->write(pieces);
  note_wants(sent.wants, false);
  return {sent.bytes, sent.wants != tls_wants::nothing, sent.closed};
}

}  // namespace proxy
