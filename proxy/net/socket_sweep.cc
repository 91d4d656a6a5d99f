#include "proxy/net/socket_sweep.h"

#include <algorithm>
#include <utility>

namespace proxy {

boost::asio::execution_context::id socket_sweep::id;

// Those of this visit for which somebody waits.
void socket_sweep::gather() {
  if (left_ == 0) {
    left_ = sockets_.size();
    part_ = (left_ + visits_a_round - 1) / visits_a_round;
  }
  for (auto count = std::min(part_, left_); count > 0 && !sockets_.empty(); --count, --left_) {
    auto& socket = sockets_.front();
    sockets_.splice(sockets_.end(), sockets_, sockets_.begin());
    const auto awaited = socket.awaited();
    if (awaited == 0) continue;
    waiting_.push_back({&socket, (awaited & POLLIN) != 0});
    asked_.push_back({socket.native(), awaited, 0});
  }
  if (sockets_.empty()) left_ = 0;
}

std::size_t socket_sweep::visit() {
  gather();
  std::size_t overlooked = 0;
  if (!asked_.empty() && ::poll(asked_.data(), asked_.size(), 0) >= 0)
    for (std::size_t i = 0; i < asked_.size(); ++i) overlooked += tell(waiting_[i], asked_[i].revents != 0);
  waiting_.clear();
  asked_.clear();
  return overlooked;
}

bool socket_sweep::tell(const waiting& one, bool something) {
  auto& socket = *one.socket;
  if (socket.native() < 0) return false;  // the event of one before it has closed it
  if (!std::exchange(socket.suspect_, something) || !something) return false;
  socket.suspect_ = false;
  socket.on_overlooked(one.reads);
  return true;
}

}  // namespace proxy
