// A connection without a socket, for tests: what pgrotor writes is kept for the test, what the test puts in is read by pgrotor as soon as it
// waits for it. A watch fires once, as one of the reactor does (watched_socket.h); who does not watch again hears nothing more. Bytes may arrive,
// and be taken, in pieces. One thread.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include <boost/smart_ptr/intrusive_ptr.hpp>

#include "proxy/net/channel.h"

namespace scripted {

struct line {
  static constexpr std::size_t all = static_cast<std::size_t>(-1);

  std::string to_pgrotor, to_peer;
  bool peer_gone = false;     // pgrotor reads what came before it
  bool pgrotor_gone = false;  // it has closed the connection, or its own half of it
  std::size_t piece = all;    // so many bytes arrive, or are taken, in each round

  // A round: what arrives is told to who waits. True when somebody did.
  bool deliver() {
    if (piece != all) arrived_ = std::min(to_pgrotor.size(), arrived_ + piece), room_ = piece;
    bool told = false;
    if (reader && (arrived() > 0 || ended())) told = true, std::exchange(reader, nullptr)->on_overlooked(true);
    if (writer) told = true, std::exchange(writer, nullptr)->on_overlooked(false);
    return told;
  }
  std::size_t arrived() const noexcept { return piece == all ? to_pgrotor.size() : arrived_; }
  bool ended() const noexcept { return peer_gone && to_pgrotor.empty(); }
  std::size_t take(std::span<char> into) {
    const auto part = std::min(into.size(), arrived());
    std::copy_n(to_pgrotor.begin(), part, into.begin());
    to_pgrotor.erase(0, part);
    arrived_ -= std::min(arrived_, part);
    return part;
  }
  std::size_t give(std::string_view bytes) {
    const auto part = std::min(bytes.size(), piece == all ? all : room_);
    to_peer.append(bytes.substr(0, part));
    room_ -= std::min(room_, part);
    return part;
  }
  boost::intrusive_ptr<proxy::swept_socket> reader, writer;  // who waits

 private:
  std::size_t arrived_ = 0, room_ = 0;  // in pieces
};

// pgrotor's end of a line; goes away with its stream.
class near_end final : public proxy::channel {
 public:
  explicit near_end(std::shared_ptr<line> of) : line_(std::move(of)) {}
  ~near_end() override { line_->pgrotor_gone = true; }

  progress read(std::span<char> into, bool) override {
    progress got;
    if (line_->ended()) return got.closed = true, got;
    got.bytes = line_->take(into);
    const bool more = line_->arrived() > 0 || line_->ended();
    got.wants = more ? wants::nothing : wants::to_read;
    return got;
  }
  progress write(std::span<const iovec> pieces) override {
    progress sent;
    if (line_->peer_gone || line_->pgrotor_gone) return sent.closed = true, sent;
    for (const auto& piece : pieces) {
      const auto part = line_->give({static_cast<const char*>(piece.iov_base), piece.iov_len});
      sent.bytes += part;
      if (part == piece.iov_len) continue;
      sent.wants = wants::to_write;
      break;
    }
    return sent;
  }
  bool has_pending() const noexcept override { return line_->arrived() > 0 || line_->ended(); }
  void shut() noexcept override { line_->pgrotor_gone = true; }
  void watch(proxy::swept_socket& who, bool reads) override { (reads ? line_->reader : line_->writer) = &who; }

 private:
  std::shared_ptr<line> line_;
};

}  // namespace scripted
